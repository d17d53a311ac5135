"""How much reasoning a judge finds in documents (the paper's Table 5); optional.

The judge is any model behind an OpenAI-compatible endpoint: a server on this machine or a service.
The prompt is a file of this package (`judge_prompt.txt`) or one of your own. Nothing is sent
without a key, and nothing twice: each answer is kept on disk.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import InferenceClient, constants
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError
from scipy import stats

from workbench.core.files import write_atomically
from workbench.core.progress import progress_bar
from workbench.corpus.reading import Document, text_sha256

PROMPT = Path(__file__).with_name("judge_prompt.txt")
HIGHEST = 5  # of the scale of the prompt
REASONING = 3  # a text is called reasoning-intensive from this score on
KEPT = 20_000  # characters of an answer that are kept
WHY = 300  # characters of the judge's reason that are shown
TRIED = 1000  # braces of an answer that may begin its verdict


@dataclass(frozen=True)
class Question:
    """What a verdict depends on; its digest is the name of the file that keeps the answer.

    Only digests of the text go into the name, so no document can choose where its answer lies.

    Attributes:
        base_url: of the endpoint.
        model: the name that the endpoint knows the model by.
        prompt: what the model is asked to do.
        text: the document.
        max_characters: of the text that are sent.
        answer_tokens: most tokens of the answer.
    """

    base_url: str
    model: str
    prompt: str
    text: str
    max_characters: int
    answer_tokens: int

    @property
    def name(self) -> str:
        """Name of the file that keeps the answer."""
        parts = [
            self.base_url, self.model, text_sha256(self.prompt), text_sha256(self.text),
            self.max_characters, self.answer_tokens,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest() + ".json"

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt, and the beginning of the text between two marks that it cannot foresee."""
        mark = f"===== {text_sha256(self.prompt + self.text)[:16]} ====="
        shown = f"{mark}\n{self.text[: self.max_characters]}\n{mark}"
        return [{"role": "system", "content": self.prompt}, {"role": "user", "content": shown}]


def judge(
    documents: Iterable[Document],
    *,
    base_url: str,
    model: str,
    cache: str | Path,
    api_key: str | None = None,
    prompt: str | Path = PROMPT,
    max_characters: int = 4000,
    answer_tokens: int = 512,
    workers: int = 4,
    timeout: float = 120.0,
) -> pd.DataFrame:
    """Ask a model how much reasoning each document holds (the paper's Table 5).

    A verdict can be wrong, and a text can talk to its judge: the prompt warns, but it cannot
    prevent it. Read some `why`, and judge a few texts yourself.

    Args:
        documents: what is judged.
        base_url: the endpoint, such as "http://localhost:8000/v1".
        model: the name that it knows the model by.
        cache: a folder for the answers, a file each; a call that was broken off goes on where it
            stopped, and rows whose answer is there need neither key nor endpoint.
        api_key: of the endpoint (any word for a server that asks for none). No key is looked for
            elsewhere: the one of the Hugging Face hub would else be sent to a stranger.
        prompt: the file with the question.
        max_characters: of each text that are sent.
        answer_tokens: most tokens of an answer.
        workers: requests at a time.
        timeout: seconds for each.

    Returns:
        One row a document, in order: doc_id, domain, source, row, text_sha256, cut (the text is
        longer than what was sent), judged (0 to 5; NaN without a verdict), reasoning (judged >= 3;
        missing without one), why (the judge's words, shortened) and problem (why there is no
        verdict, missing where there is one: a refusal, an answer that is no verdict, an error of
        the endpoint). Errors of the endpoint are not kept, so that the next call asks again.

    Raises:
        ValueError: a setting is bad or the key is missing.
        ConnectionError: the endpoint does not answer the first question, or refuses the key or the
            model; or HF_HUB_OFFLINE is set.
    """
    if not base_url.startswith(("http://", "https://")) or not model:
        raise ValueError(
            f"expected base_url='http(s)://...' and the model's name there, got {base_url!r:.200} "
            f"and {model!r:.100}"
        )
    if max_characters < 1 or answer_tokens < 1 or workers < 1:
        raise ValueError("max_characters, answer_tokens and workers must be at least 1")
    documents = list(documents)
    question = Path(prompt).read_text(encoding="utf-8")
    asked = [
        Question(base_url, model, question, document.text, max_characters, answer_tokens)
        for document in documents
    ]
    folder = Path(cache)
    answers = {question.name: kept for question in asked if (kept := _kept(folder / question.name))}
    open_ones = list(
        {question.name: question for question in asked if question.name not in answers}.values()
    )
    if open_ones:
        client = _client(base_url, api_key, timeout, len(open_ones))
        folder.mkdir(parents=True, exist_ok=True)
        answers |= _ask_all(client, open_ones, folder, workers)
    return pd.DataFrame(
        [
            {
                "doc_id": document.doc_id, "domain": document.domain,
                "source": document.source, "row": document.row,
                "text_sha256": text_sha256(document.text),
                "cut": len(document.text) > max_characters,
                **verdict(answers[question.name]),
            }
            for document, question in zip(documents, asked, strict=True)
        ]
    ).astype({"reasoning": "boolean"} if documents else {})  # fmt: skip


def judged_shares(
    judged: pd.DataFrame, selections: Mapping[str, pd.DataFrame], *, confidence: float = 0.95
) -> pd.DataFrame:
    """Share of each selection's documents judged reasoning-intensive, by domain (Table 5).

    Missing verdicts are left out: where documents and judged differ, look at `problem` before you
    compare.

    Args:
        judged: what `judge` returned, for the documents of all selections at least.
        selections: name to a table with the column selected.
        confidence: of the interval.

    Returns:
        One row a domain and selection: domain, selection, documents, judged (those with a verdict,
        of which the share is), reasoning (share), low and high (Wilson's interval), score (mean, 0
        to 5).

    Raises:
        ValueError: a chosen document was not judged, or nothing is chosen.
    """
    verdicts = judged.set_index(["source", "row"])
    rows = []
    for name, selection in selections.items():
        chosen = selection[selection["selected"]].set_index(["source", "row"])
        lacking = ~chosen.index.isin(verdicts.index)
        if lacking.any():
            raise ValueError(
                f"{lacking.sum()} documents of {name!r:.100} were not judged: judge the documents "
                "of all selections"
            )
        for domain, part in chosen.groupby("domain", sort=True):
            judged = verdicts.loc[part.index].dropna(subset="judged")
            share = low = high = math.nan
            if len(judged):
                test = stats.binomtest(int(judged["reasoning"].sum()), len(judged))
                share = test.statistic
                low, high = test.proportion_ci(confidence, method="wilson")
            rows.append(
                {
                    "domain": domain, "selection": name, "documents": len(part),
                    "judged": len(judged), "reasoning": share, "low": low, "high": high,
                    "score": judged["judged"].mean(),
                }
            )  # fmt: skip
    if not rows:
        raise ValueError(f"the selections {list(selections)} choose no document to compare")
    return pd.DataFrame(rows).sort_values(["domain", "selection"], ignore_index=True)


def verdict(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer of the judge says.

    Args:
        answer: as it is kept: answer and finish, or problem.

    Returns:
        The columns judged, reasoning, why and problem of `judge`.
    """
    nothing = {"judged": math.nan, "reasoning": None, "why": None}
    if "problem" in answer:
        return {**nothing, "problem": answer["problem"]}
    text, finish = answer["answer"], answer["finish"]
    if finish == "content_filter" or not (isinstance(text, str) and text.strip()):
        return {**nothing, "problem": f"no answer ({finish})"}
    stated = _last_object(text)
    score = stated.get("score")
    given = isinstance(score, int | float) and not isinstance(score, bool)
    value = float(score) if given and score is not None else math.nan
    if not 0 <= value <= HIGHEST:
        why_not = "the answer broke off" if finish == "length" else "the answer is no verdict"
        return {**nothing, "problem": f"{why_not}: {text.strip()[:80]!r}"}
    why = str(stated.get("reason", ""))[:WHY]
    return {"judged": value, "reasoning": value >= REASONING, "why": why, "problem": None}


def _last_object(text: str) -> dict[str, Any]:
    """The last JSON object with a score in an answer: models may think aloud before it."""
    decoder, at, last = json.JSONDecoder(), text.find("{"), {}
    for _ in range(TRIED):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            value, end = None, at + 1
        if isinstance(value, dict) and "score" in value:
            last = value
        at = text.find("{", end)
    return last


def _client(base_url: str, api_key: str | None, timeout: float, count: int) -> InferenceClient:
    if not api_key:
        raise ValueError(
            f"no api_key, so nothing was sent; {count} documents wait for a verdict. Pass the key "
            "of the endpoint (any word for a server that asks for none)"
        )
    if constants.is_offline_mode():
        raise ConnectionError(
            f"HF_HUB_OFFLINE is set, so nothing was sent; {count} documents wait for a verdict: "
            "unset it to ask the endpoint"
        )
    return InferenceClient(base_url=base_url, api_key=api_key, timeout=timeout)


def _ask_all(
    client: InferenceClient, questions: Sequence[Question], folder: Path, workers: int
) -> dict[str, dict[str, Any]]:
    """File name -> answer, or the problem, of each question.

    The first is asked alone, so that an endpoint that is not there, or refuses, is reported once.
    """
    answers = {}
    with progress_bar("judging", "doc", len(questions)) as done:
        first, *rest = questions
        answers[first.name] = _ask(client, first, folder, alone=True)
        done(1)
        pool = ThreadPoolExecutor(workers)
        try:
            waiting = {pool.submit(_ask, client, question, folder): question for question in rest}
            for future in as_completed(waiting):
                answers[waiting[future].name] = future.result()
                done(1)
        finally:
            pool.shutdown(cancel_futures=True)  # what is on its way is still kept
    return answers


def _ask(
    client: InferenceClient, question: Question, folder: Path, alone: bool = False
) -> dict[str, Any]:
    """The answer, kept on disk; or {"problem": ...}, which is not."""
    try:
        reply = client.chat_completion(
            question.messages, model=question.model, max_tokens=question.answer_tokens,
            temperature=0.0, seed=0,
        )  # fmt: skip
        choice = reply.choices[0]
        text, finish = choice.message.content, str(choice.finish_reason)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if alone and status in (401, 403, 404):
            raise ConnectionError(
                f"the endpoint refused the first question with HTTP {status}: look at base_url, "
                f"api_key, and the model name {question.model!r:.100}"
            ) from error
        return {"problem": f"HTTP {status}"}
    except InferenceTimeoutError:
        return {"problem": "no answer in time"}
    except Exception as error:  # of whichever HTTP library the client uses, or an odd reply
        if alone:
            raise ConnectionError(
                f"the endpoint at base_url gave no chat completion: {type(error).__name__}: "
                f"{str(error)[:200]}"
            ) from error
        return {"problem": f"no chat completion: {type(error).__name__}"}
    answer = {
        "model": question.model,
        "prompt_sha256": text_sha256(question.prompt),
        "text_sha256": text_sha256(question.text),
        "answer": text[:KEPT] if isinstance(text, str) else None,
        "finish": finish,
    }
    write_atomically(folder / question.name, json.dumps(answer).encode())
    return answer


def _kept(path: Path) -> dict[str, Any] | None:
    """An answer kept earlier; None where there is none, or the file is not one of ours."""
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
        return answer if {"answer", "finish"} <= answer.keys() else None
    except (OSError, ValueError, AttributeError):
        return None
