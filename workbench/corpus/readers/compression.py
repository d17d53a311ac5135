"""Compressed files as the bytes in them: gzip, Zstandard, xz and bzip2, a piece at a time.

A file may hold several members, one behind the other, empty ones among them, and zeros behind the
last (tapes and object stores pad with them). It must not end inside a member, and nothing else may
follow: either would be text that is lost in silence. Frames of Zstandard may have the largest
window there is (`--long=31`), and what a few bytes may expand to is never held at once.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zlib
from typing import IO, Any, Literal, Protocol

import zstandard

Compression = Literal["gzip", "zstd", "xz", "bz2"]
ENDINGS: dict[str, Compression] = {
    ".gz": "gzip", ".gzip": "gzip", ".bgz": "gzip", ".zst": "zstd", ".zstd": "zstd",
    ".xz": "xz", ".bz2": "bz2",
}  # fmt: skip
_STARTS: dict[Compression, re.Pattern[bytes]] = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
}
# Of compressed bytes that are given at once. Four bytes of Zstandard may make 128 KiB, and its
# decompressor takes no limit for what comes out.
_PIECE = {"gzip": 1 << 16, "zstd": 1 << 12, "xz": 1 << 16, "bz2": 1 << 16}
_WIDEST_WINDOW = 1 << 31  # bytes, the most that Zstandard's own command takes
_MOST_OF_XZ = 1 << 30  # bytes of memory; its highest level takes 65 MB


class _Member(Protocol):
    """One member while it is decompressed, as the standard library's decompressors go."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner, self.needs_input = zlib.decompressobj(wbits=31), True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        output = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(output) < max_length
        return output

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


class _Zstandard:
    needs_input = True

    def __init__(self) -> None:
        whole = zstandard.ZstdDecompressor(max_window_size=_WIDEST_WINDOW)
        self._inner = whole.decompressobj()

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(data)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


_MEMBERS: dict[Compression, Any] = {
    "gzip": _Gzip,
    "zstd": _Zstandard,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_OF_XZ),
    "bz2": bz2.BZ2Decompressor,
}
_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def compression_of(start: bytes) -> Compression | None:
    """How a file is compressed, by its first bytes.

    Args:
        start: the first bytes; 16 are enough.

    Returns:
        The compression; None if it is not compressed.
    """
    return next((kind for kind, begins in _STARTS.items() if begins.match(start)), None)


def decompressed(file: IO[bytes], compression: Compression | None) -> IO[bytes]:
    """The bytes in a compressed file, or the file itself if it is not compressed.

    Args:
        file: open for reading bytes, at its beginning; it is not closed with the result.
        compression: one of ENDINGS, or None.

    Returns:
        A stream for reading. It raises ValueError where the file is damaged, ends early (no bytes
        at all are no end either) or goes on behind its last member.
    """
    if compression is None:
        return file
    return io.BufferedReader(_Decompressed(file, compression), 1 << 16)


class _Decompressed(io.RawIOBase):
    def __init__(self, file: IO[bytes], compression: Compression) -> None:
        self._file, self._compression = file, compression
        self._member: _Member | None = None
        self._given = b""  # compressed bytes that no member has taken yet
        self._found = memoryview(b"")  # bytes that nobody has read yet
        self._members = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._found:
            if not self._step(len(buffer)):
                return 0
        count = min(len(buffer), len(self._found))
        buffer[:count] = self._found[:count]
        self._found = self._found[count:]
        return count

    def _step(self, wanted: int) -> bool:
        """Decompress a little more; False at the end of the file."""
        if self._member is None and not self._next_member():
            return False
        assert self._member is not None
        if self._member.needs_input and not self._given:
            self._given = self._file.read(_PIECE[self._compression])
            if not self._given:
                raise ValueError(f"the {self._compression} stream ends early")
        try:
            self._found = memoryview(self._member.decompress(self._given, wanted))
        except _ERRORS as error:
            raise ValueError(f"{self._compression} cannot be decompressed: {error}") from error
        self._given = b""
        if self._member.eof:
            self._given, self._member = self._member.unused_data, None
        return True

    def _next_member(self) -> bool:
        while True:
            if self._members:
                self._given = self._given.lstrip(b"\0")
            if len(self._given) >= 16:
                break
            if not (more := self._file.read(_PIECE[self._compression])):
                break
            self._given += more
        if not self._given and self._members:
            return False
        if not self._given:
            raise ValueError("the file is empty")
        if compression_of(self._given) != self._compression:
            where = "behind its last member" if self._members else "here"
            raise ValueError(f"what stands {where} is no {self._compression}")
        self._member, self._members = _MEMBERS[self._compression](), self._members + 1
        return True
