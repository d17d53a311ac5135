"""What a whole offers of its parts: the same text and signature, and what the part does."""

from __future__ import annotations

import inspect

import pytest

import workbench as wb
from workbench.session.corpus.document_rows import DocumentRows
from workbench.session.corpus.document_texts import DocumentTexts
from workbench.session.corpus.scored_corpus import ScoredCorpus
from workbench.session.corpus.session_corpus import SessionCorpus
from workbench.session.head_values import HeadValues
from workbench.session.masked_text import MaskedText
from workbench.session.text_results import TextResults

PARTS = [
    (wb.Session, MaskedText), (wb.Session, TextResults), (wb.Session, HeadValues),
    (wb.Session, SessionCorpus), (ScoredCorpus, DocumentRows), (ScoredCorpus, DocumentTexts),
]  # fmt: skip
# What parts of a whole ask of each other.
OF_THE_PART_ALONE = {"place", "add", "shared_ngrams", "known_needs", "require_askable"}


@pytest.mark.parametrize(("whole", "part"), PARTS)
def test_each_public_method_of_a_part_is_one_of_the_whole(whole, part):
    methods = {
        name: method
        for name, method in vars(part).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    assert methods
    for name in methods.keys() - OF_THE_PART_ALONE:
        offered = getattr(whole, name)
        assert offered.__doc__ == methods[name].__doc__
        assert inspect.signature(offered) == inspect.signature(methods[name])


def test_a_method_acts_on_the_part_of_its_own_whole(tiny):
    one, other = wb.Session(tiny, heads="L0H1"), wb.Session(tiny, heads="L0H1")
    assert one.toggle(heads="L1H1") is None
    assert (str(one.heads), str(other.heads)) == ("L0H1 L1H1", "L0H1")
    with pytest.raises(TypeError, match="toggle"):
        one.toggle()
