"""The first tokens of a long text without tokenizing all of it, where they are surely the same.

Between an ASCII letter and a space that is followed by an ASCII letter, the tokenizers listed here
begin a new word, and what they make of the words before does not depend on what comes after: their
normalizers and patterns look at no more than the next character, their models at one word. So the
text up to such a place has the first tokens of the whole. Any other tokenizer, and a text without
such a place, is tokenized whole.
"""

from __future__ import annotations

import json
import re
from typing import Any

from workbench.models.model import Model

_CUT = re.compile(r"[A-Za-z](?= [A-Za-z])")
_CHARACTERS = 8  # of a token, at first; twice as many, if that was not enough
_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "BertNormalizer"}
_SPLITTERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
_CHARACTER_WISE = {"Digits", "Punctuation"}
_MODELS = {"BPE", "WordPiece", "WordLevel"}
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_O200K_END = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PATTERNS = {
    # GPT-2
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # GPT-4 (cl100k) and Llama 3; Qwen 2 and 3
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+",
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+",
    # GPT-4o (o200k) and gpt-oss
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    + _CONTRACTIONS + r"?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _CONTRACTIONS + r"?|" + _O200K_END,
}  # fmt: skip


def encode_start(model: Model, text: str, most: int | None) -> list[int]:
    """The first tokens of a text, `model.encode(text)[:most]`, at less cost for a long text.

    Args:
        model: the model.
        text: the text.
        most: how many tokens are wanted (None: all).

    Returns:
        Token ids, without special tokens.
    """
    if most is None:
        return model.encode(text)
    size = _CHARACTERS * max(most, 1)
    if len(text) > 2 * size and cuttable(model.tokenizer):
        while (end := _last_cut(text, size)) is not None:
            ids = model.encode(text[:end])
            if len(ids) >= most:
                return ids[:most]
            size *= 2
    return model.encode(text)[:most]


def cuttable(tokenizer: Any) -> bool:
    """Whether the words before a cut are the same tokens whatever comes after it.

    Args:
        tokenizer: the transformers tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not type(tokenizer).__module__.startswith("transformers."):
        return False  # Python code, of the checkpoint even, may do with a text what it likes
    added = [token.content for token in backend.get_added_tokens_decoder().values()]
    normalizers = _parts(backend.normalizer, "normalizers")
    steps = _parts(backend.pre_tokenizer, "pretokenizers")
    while steps and steps[0]["type"] in _CHARACTER_WISE:
        steps = steps[1:]
    return (
        type(backend.model).__name__ in _MODELS
        and not getattr(backend.model, "dropout", None)
        and all(step["type"] in _NORMALIZERS for step in normalizers)
        and bool(steps)
        and _splits(steps[0])  # what comes after it is given one word at a time
        and all(step["type"] in _CHARACTER_WISE | {"ByteLevel"} or _splits(step) for step in steps)
        and not any(re.search("[A-Za-z] ", token) for token in added)  # a cut would go through it
    )


def _last_cut(text: str, size: int) -> int | None:
    """The last place to cut among the first `size` characters; None if the text is no longer."""
    if size >= len(text):
        return None
    end = None
    for cut in _CUT.finditer(text, max(size - 1000, 0), size + 2):
        end = cut.end()
    return end if end is not None else _last_cut(text, 2 * size)


def _parts(step: Any, name: str) -> list[dict[str, Any]]:
    """What a normalizer or pre-tokenizer does, one step after the other, as its file states it."""
    if step is None:
        return []
    return _flat(json.loads(step.__getstate__()), name)


def _flat(stated: dict[str, Any], name: str) -> list[dict[str, Any]]:
    if stated["type"] != "Sequence":
        return [stated]
    return [step for inner in stated[name] for step in _flat(inner, name)]


def _splits(step: dict[str, Any]) -> bool:
    """Whether a word begins at a cut, and nothing before it looks further than that."""
    if step["type"] == "ByteLevel":
        return bool(step["use_regex"])
    if step["type"] == "Split":
        known = step["pattern"].get("Regex") in _PATTERNS
        return known and step["behavior"] == "Isolated" and not step["invert"]
    return step["type"] in _SPLITTERS
