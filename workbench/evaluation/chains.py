"""Real reasoning as documents: worked examples, each a question with its chain of thought.

They stand in the task files of the installed lm-eval, are read from there at run time, and are no
part of this project. `few_shot.py` asks them as tasks; here they are texts to be scored.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from workbench.corpus.document import Document
from workbench.evaluation.few_shot import BBH, MMLU, THINK, few_shot_examples, lm_eval_folder

GSM8K = "tasks/gsm8k"
MATH = "tasks/minerva_math/utils.py"

Part = Literal["first", "held-out"]


def reasoning_chains(part: Part = "first") -> list[Document]:
    """Worked examples with their chains of thought, of BBH, MMLU, GSM8K and MATH.

    A column of scores that is to find reasoning may be tried on the first part as often as one
    likes; the held-out part is for the one that was chosen, and holds no text of the first. The
    call to think step by step is left out: it is the same in every example. Texts that stand twice
    are taken once.

    Sources: Suzgun et al., arXiv 2210.09261 (BBH); Hendrycks et al., arXiv 2009.03300 (MMLU); Cobbe
    et al., arXiv 2110.14168, with the chains of Wei et al., arXiv 2201.11903 (GSM8K); Lewkowycz et
    al., arXiv 2206.14858 (MATH).

    Args:
        part: "first": the three examples of each task of BBH, the first two of each subject of
            MMLU, the eight of GSM8K; "held-out": the third and fourth of each subject of MMLU, and
            the four of MATH.

    Returns:
        The chains; a document's domain is its collection ("BBH", "MMLU", "GSM8K" or "MATH"), its
        source the task, its row the number of the example.

    Raises:
        ImportError: lm-eval is not installed, or of a version without these files.
        ValueError: there is no such part.
    """
    if part not in ("first", "held-out"):
        raise ValueError(f"part must be 'first' or 'held-out', got {part!r}")
    first = _distinct([*_bbh(), *_mmlu(0, 2), *_gsm8k()], ())
    # Subjects share examples, so that one of the first part stands among the later ones, too.
    return first if part == "first" else _distinct([*_mmlu(2, 4), *_math()], first)


def _distinct(documents: Sequence[Document], looked_at: Sequence[Document]) -> list[Document]:
    """The documents whose text stands neither before them nor among those looked at."""
    taken = {document.text for document in looked_at}
    fresh = {document.text: document for document in reversed(documents)}
    return [d for d in documents if fresh[d.text] is d and d.text not in taken]


def _bbh() -> Iterator[Document]:
    for name, content in few_shot_examples(lm_eval_folder() / BBH, "bbh_cot_fewshot_"):
        for row, sample in enumerate(content["fewshot_config"]["samples"][:3]):
            yield _chain("BBH", name, row, sample["input"], sample["target"])


def _mmlu(start: int, stop: int) -> Iterator[Document]:
    for name, content in few_shot_examples(lm_eval_folder() / MMLU, "mmlu_flan_cot_fewshot_"):
        samples = content["fewshot_config"]["samples"]
        for row, sample in enumerate(samples[start:stop], start):
            yield _chain("MMLU", name, row, sample["question"], sample["target"])


def _gsm8k() -> Iterator[Document]:
    files = dict(few_shot_examples(lm_eval_folder() / GSM8K, ""))
    for row, sample in enumerate(_of("gsm8k_cot", files)["fewshot_config"]["samples"]):
        yield _chain("GSM8K", "gsm8k_cot", row, sample["question"], sample["target"])


def _math() -> Iterator[Document]:
    """The examples are a list in Python source, which is parsed, never run."""
    path = lm_eval_folder() / MATH
    for row, sample in enumerate(_literal_list(path, "list_fewshot_samples")):
        yield _chain("MATH", "minerva_math", row, sample["problem"], sample["solution"])


def _chain(collection: str, task: str, row: int, question: str, chain: str) -> Document:
    text = f"{question.strip()}\n{chain.removeprefix(THINK).strip()}"
    source = f"lm-eval/{collection}/{task}"
    return Document(f"{collection}/{task}/{row}", text, collection, source, row)


def _of(name: str, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if name not in files:
        raise _another_version(f"no task {name}")
    return files[name]


def _literal_list(path: Path, function: str) -> list[dict[str, str]]:
    """What a function of a module returns, where that is written out as a literal."""
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for statement in node.body:
                if isinstance(statement, ast.Return) and statement.value is not None:
                    return ast.literal_eval(statement.value)
    raise _another_version(f"no list of examples in {path.parent.name}/{path.name}")


def _another_version(lacking: str) -> ImportError:
    return ImportError(
        f"the installed lm-eval has {lacking}; this reads version 0.4.13; run: pip install "
        "'.[eval]'"
    )
