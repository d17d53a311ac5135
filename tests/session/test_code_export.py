"""The code of a session: it runs, and what it makes is the same session."""

from __future__ import annotations

import ast
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import make_hf, make_model, make_tokenizer

import workbench as wb
from workbench.loading.load import _call
from workbench.session.corpus.columns import BOILERPLATE

TEXTS = [
    "plain", "it's \"quoted\" '''thrice''' \"\"\"twice\"\"\"", "back\\slash \\n \\u0041 \\",
    "a\nb\r\nc\td\n", "naïve 日本語 👩\u200d👧", "שלום עולם \u202eabc\u202c \u2066x\u2069",
    "nul \x00 bell \x07 \x85 \u2028 \u2029", "{session} %s {0} #comment\n# more", "x" * 500,
    "word " * 300, " " * 200 + "late", "a" + " " * 400, "\\" * 300, "'" * 300, "'\"" * 150,
    ("日本 " * 90 + "\n") * 3, "exec('1/0')\n" * 20,
]  # fmt: skip


def rebuilt(session):
    """The session that the code makes; a model that was made by hand stands there already."""
    code = session.code()
    assert code.isascii(), "no character of a text may turn the direction of the code"
    assert code.startswith("import workbench as wb\n")
    names = {"model": session.model}
    exec(code, names)
    return names["session"]


def same(one, other):
    for part in ("text", "heads", "mode", "against"):
        assert getattr(one.state, part) == getattr(other.state, part)
    assert (one.document, one.max_tokens) == (other.document, other.max_tokens)
    assert one.code() == other.code()


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back(tiny, text):
    session = wb.Session(tiny, text)
    same(rebuilt(session), session)


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300).filter(str.strip),
    st.integers(1, 4),
)
def test_any_text_at_all_comes_back(text, times):
    session = wb.Session(MODEL, text * times)
    assert rebuilt(session).text == text * times


MODEL = make_model()


@pytest.mark.parametrize("mode", ["uniform", "zero", "mean"])
def test_heads_mode_and_comparison_come_back(tiny, mode):
    session = wb.Session(tiny, "some text", "L0H1 L2H3", mode=mode)
    same(rebuilt(session), session)
    session.compare_with("L1H1")
    same(rebuilt(session), session)
    session.invert()  # long enough to be broken into lines
    same(rebuilt(session), session)
    session.clear()
    same(rebuilt(session), session)
    assert ("set_mode" in session.code()) == (mode != "uniform")


def test_long_lines_are_broken_between_words(tiny):
    code = wb.Session(tiny, "seven candles and a kettle, " * 40).code()
    assert max(map(len, code.splitlines())) <= 100
    pieces = [node for node in code.splitlines() if node.startswith("    '")]
    assert all(piece.endswith(" '") for piece in pieces[:-1])
    assert len(ast.parse(code).body) == 3


def test_how_much_is_read_comes_back(tiny):
    session = wb.Session(tiny, "abc " * 30, max_tokens=9)
    assert rebuilt(session).changes().left_out == session.changes().left_out == 111
    session.read_window(12)
    assert rebuilt(session).changes().pieces == session.changes().pieces
    assert "max_tokens" not in wb.Session(tiny, "abc").code()


# ---- the model --------------------------------------------------------------------------------


def test_the_model_is_loaded_as_it_was(tmp_path):
    folder = tmp_path / 'it\'s a "model"'
    make_hf("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    model = wb.load_model(folder, dtype=torch.bfloat16, context=64, certify=False, device="cpu")
    session = wb.Session(model, "some text", "L1H1")
    names = {}
    exec(session.code(), names)
    same(names["session"], session)
    again = names["model"]
    assert (again.context, again.dtype, again.identity) == (64, torch.bfloat16, model.identity)
    assert again.loaded_by == model.loaded_by


def test_only_what_is_not_usual_is_written():
    usual = {"revision": None, "dtype": "auto", "context": None, "trust_remote_code": False}
    assert _call(None, **usual) == "wb.load_model()"
    assert _call("a/b", **{**usual, "revision": "v'1"}) == "wb.load_model('a/b', revision=\"v'1\")"
    for given_dtype in (torch.float16, "torch.float16", "float16"):
        assert _call(None, **{**usual, "dtype": given_dtype}) == "wb.load_model(dtype='float16')"


def test_a_model_made_by_hand_is_named_in_a_comment():
    source = "mine\nimport os; os.abort() #"
    model = wb.from_transformers(make_hf("llama"), make_tokenizer(), source=source)
    session = wb.Session(model, "some text")
    second = session.code().splitlines()[2]
    assert second.startswith("# model: the 'mine\\nimport os; os.abort() #' that you made yourself")
    assert model.identity["weights_sha256"][:12] in second
    same(rebuilt(session), session)


# ---- the corpus -------------------------------------------------------------------------------


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / 'it\'s a "corpus" עברית.jsonl'
    rows = [
        {"name": f"d{i} 'x' \\ עברית", "body": f"document {i}: " + TEXTS[i], "kind": "ab"[i % 2]}
        for i in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


COLUMNS = {"id": "name", "text": "body", "domain": "kind"}


def test_a_corpus_on_disk_its_cut_and_the_opened_document_come_back(tiny, corpus, tmp_path):
    session = wb.Session(tiny, "some text", "L0H1 L1H3")
    session.score(corpus, tmp_path / "a 'run' עברית", **COLUMNS)
    session.cut(0.3, "tokens")
    for opened in (None, 5):
        if opened is not None:
            session.open(opened)
        session.mask("L2H2")
        session.set_mode("zero")  # the document is still the one that is looked at
        again = rebuilt(session)
        same(again, session)
        assert (again.document is None) == (opened is None)
        ours, theirs = session.corpus.selection, again.corpus.selection
        assert (theirs.fraction, theirs.by) == (0.3, "tokens")
        assert ours.table.equals(theirs.table)
        assert again.corpus.document(3) == session.corpus.document(3)
        assert "session.open(" in session.code() or opened is None
    session.read("a text of my own")
    assert "session.open(" not in session.code()
    same(rebuilt(session), session)


def test_the_documents_left_out_come_back(tiny, corpus, tmp_path):
    session = wb.Session(tiny, "some text", "L0H1 L1H3")
    session.score(corpus, tmp_path / "run", **COLUMNS)
    out = {**COLUMNS, "terms": ["1"], "escalate": 1}
    funnel = wb.funnel(corpus, **out)
    assert 0 < funnel.rows["excluded"].sum() < len(funnel.rows)
    file = funnel.write(tmp_path / "funnel.parquet")
    session.cut(0.5, "tokens", "rise", exclude=str(file))
    assert f"session.cut(0.5, 'tokens', 'rise', exclude={str(file)!r})" in session.code()
    again = rebuilt(session)
    same(again, session)
    assert again.corpus.selection.table.equals(session.corpus.selection.table)
    session.cut(0.5, exclude=funnel)
    assert "# its funnel lay in memory" in session.code()
    rebuilt(session)


def test_the_documents_that_are_ranked_come_back(tiny, corpus, tmp_path):
    session = wb.Session(tiny, "some text", "L0H1 L1H3")
    session.score(corpus, tmp_path / "run", **COLUMNS)
    median = {name: float(np.median(session.corpus.column(name))) for name in ("score", "tokens")}
    corners = [(0.5 * i, median["score"]) for i in range(40)] + [(20.0, 9.0), (0.0, 9.0)]
    among = {
        "contains": "d", "ranges": {"tokens": (0.0, median["tokens"])},
        "lasso": {"across": "loss_base", "up": "score", "corners": corners},
    }  # fmt: skip
    session.cut(0.5, among={name: among[name] for name in ("contains", "ranges")})
    code = session.code()
    assert "among=ranked)" in code
    again = rebuilt(session)
    same(again, session)
    assert again.corpus.selection.table.equals(session.corpus.selection.table)
    assert again.corpus.among == session.corpus.among
    assert 0 < len(again.corpus.selection.table) < len(again.corpus)
    del among["ranges"]
    session.cut(0.5, among=among)
    code = session.code()
    written = code[code.index("ranked = ") : code.index("session.cut(")]
    assert max(map(len, written.splitlines())) <= 100
    assert rebuilt(session).corpus.selection.table.equals(session.corpus.selection.table)
    assert "measure_boilerplate" not in code
    session.corpus.among["ranges"] = {BOILERPLATE: (0.0, 0.5)}  # no column that the run keeps
    code = session.code()
    assert 0 < code.index("session.measure_boilerplate()\n") < code.index("session.cut(")


def test_a_name_in_another_script_is_written_in_ascii(tiny, corpus, tmp_path):
    session = wb.Session(tiny, "some text", "L0H1 L1H3")
    session.score(corpus, tmp_path / "run", **COLUMNS)
    session.cut(0.5, among={"ranges": {"score": (-9.0, 9.0)}, "contains": ""})
    session.corpus.among["contains"] = "é\u202e中'"
    code = session.code()
    assert code.isascii()
    names = {}
    exec(next(line for line in code.splitlines() if line.startswith("ranked")), names)
    assert names["ranked"] == session.corpus.among


def test_a_list_of_paths_comes_back(tiny, corpus, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(corpus.read_text(encoding="utf-8").replace('"d', '"e'), encoding="utf-8")
    session = wb.Session(tiny, "some text", "L0H1 L1H3")
    session.score([corpus, str(other)], tmp_path / "run", **COLUMNS)
    session.open(11)
    again = rebuilt(session)
    same(again, session)
    assert again.document == session.document
    assert "in memory" not in session.code()


def test_what_lies_in_memory_is_named_in_a_comment(tiny, corpus, tmp_path):
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    session = wb.Session(tiny, "some text", "L0H1 L1H3")
    session.score(rows, **COLUMNS)
    session.open(2)
    assert "# its scores lay in memory" in session.code()
    again = rebuilt(session)
    assert (again.text, again.corpus) == (session.text, None)
    session.score(rows, window=16, **COLUMNS)
    assert "score(corpus, out='run/', window=16) keeps them" in session.code()
    session.score(rows, tmp_path / "run", **COLUMNS)
    session.open(2)
    assert "# its corpus lay in memory" in session.code()
    again = rebuilt(session)
    assert again.text == session.text
    assert again.corpus.selection.table.equals(session.corpus.selection.table)
    assert again.document is None


def test_a_named_reference_set_is_named_in_a_comment(tiny):
    mine = wb.reference_set("m\u00fcnchen", ["a river and a bank", "nine or ten"])
    session = wb.Session(tiny, "some text", "L0H1 L1H3")
    session.set_mode(mine.resample)
    assert "# reference set 'm\\xfcnchen': wb.reference_set(" in session.code()
    same(rebuilt(session), session)
