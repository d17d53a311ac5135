"""A DuckDB database that keeps within bounds of memory, threads and disk, and loads nothing.

DuckDB is imported when a database is opened: it takes a fifth of a second, and who only looks up a
name of a package needs none of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.core.cpu_count import cores

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = re.compile(r"\d{1,6}(\.\d{1,3})?\s?[KMGT]i?B")


def connect(
    scratch: Path,
    *,
    memory: str,
    threads: int = 2,
    most_scratch: int | None = None,
    file: Path | None = None,
) -> DuckDBPyConnection:
    """Open a database, which its caller closes.

    Nothing in it can read a variable of Python, or fetch an extension.

    Args:
        scratch: folder that holds what does not fit in memory.
        memory: bound on DuckDB's own memory, such as "1GB".
        threads: how many threads it may use; no more are started than there are cores for.
        most_scratch: bytes that may lie in `scratch`; None for any number.
        file: where the database lies; None: in memory.

    Returns:
        The connection.

    Raises:
        ValueError: `memory` is no size, or `threads` no number from 1 to 1024.
    """
    import duckdb

    if not MEMORY.fullmatch(str(memory)):
        raise ValueError(f"memory must be a size such as '1GB', got {memory!r:.50}")
    if not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise ValueError(f"threads must be a whole number from 1, got {threads!r:.50}")
    config: dict[str, Any] = {
        "threads": min(threads, cores()),
        "memory_limit": str(memory),
        "temp_directory": str(scratch),
        "preserve_insertion_order": False,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if most_scratch is not None:
        config["max_temp_directory_size"] = f"{1 + most_scratch // 10**9}GB"
    return duckdb.connect(":memory:" if file is None else str(file), config=config)
