"""A scored corpus with columns of every kind, as the tests of its parts look at it."""

import pytest
from support.score_tables import wide_table

from workbench.session.corpus.scored_corpus import ScoredCorpus


@pytest.fixture(scope="module")
def table():
    return wide_table()


@pytest.fixture
def corpus(table):
    return ScoredCorpus(table)
