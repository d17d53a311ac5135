"""The book of laws: every entry gives the numbers of its source; no constant can be mistyped."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench.scaling import laws

KEYS = list(wb.LAWS)
FILES = sorted(Path(str(laws.__file__)).parent.glob("[!_]*.py"))


def test_every_entry_stands_in_one_list_and_every_file_has_its_test():
    """A new law goes into the list of a file here, and is in the book by that."""
    modules = [importlib.import_module(f"{laws.__name__}.{path.stem}") for path in FILES]
    lists = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, list) and value and isinstance(value[0], wb.Law)
    ]
    distinct = {id(one): one for one in lists}.values()
    assert sorted(law.key for entries in distinct for law in entries) == sorted(KEYS)
    tests = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert {f"test_{path.stem}" for path in FILES} == tests


@pytest.mark.parametrize("key", KEYS)
def test_every_entry_gives_the_numbers_of_its_source(key):
    law = wb.LAWS[key]
    assert law.key == key
    assert law.checks
    assert law.failing() == []
    assert law.source
    assert law.status in ("verified", "second-hand", "unsound")
    assert law.status != "unsound" or law.notes
    for check in law.checks:
        assert 0 < check.within <= 0.2, check.where


@pytest.mark.parametrize("times", [0.95, 0.98, 1.02, 1.05])
@pytest.mark.parametrize("key", KEYS)
def test_a_changed_constant_is_caught_by_the_entrys_own_checks(key, times):
    """Each constant of each entry; those that no check can see are the declared ones, no others."""
    law = wb.LAWS[key]
    missed = {
        name
        for name, value in law.constants.items()
        if not law.with_constants(**{name: value * times}).failing()
    }
    assert missed == set(law.uncaught)


def test_one_constant_is_beyond_every_check():
    """The others are caught at 2 % each. This one stands for "no bound" in the source."""
    uncaught = {(key, name): why for key in KEYS for name, why in wb.LAWS[key].uncaught.items()}
    assert list(uncaught) == [("moe leverage", "A_max")]
    assert "moves the leverage by 1e-17" in uncaught["moe leverage", "A_max"]


def test_laws_whose_constants_came_from_copies_are_second_hand():
    """Their papers' own tables were not read, whatever printed numbers the constants give."""
    second = {key for key in KEYS if wb.LAWS[key].status == "second-hand"}
    assert second == {
        "kaplan", "kaplan batch", "deepseek", "deepseek batch", "weight decay", "pruning schedule",
    }  # fmt: skip


def test_a_check_says_what_came_out():
    failing = wb.LAWS["zero memory"].with_constants(optimizer=8).failing()
    assert failing[0].startswith("figure 1, stage 0: 1.2e+11 expected")
    assert failing[0].endswith("got 9e+10")


def test_the_book_is_a_table():
    assert len(wb.LAWS) == len(KEYS) == 50
    table = wb.LAWS.table
    assert list(table.index) == KEYS
    assert table.loc["step law", "from"] == "params 5.9e+07 to 1.1e+09, tokens 2e+09 to 1e+11"
    for key in KEYS:
        assert key in repr(wb.LAWS)
        assert f"<th>{key}</th>" in wb.LAWS._repr_html_()
        assert wb.LAWS[key].text in wb.LAWS[key].describe()
    with pytest.raises(KeyError, match="no law is called 'chinchilla'; the book has hoffmann,"):
        wb.LAWS["chinchilla"]


def test_a_good_part_of_the_checks_are_numbers_that_the_sources_print():
    checks = [check for law in wb.LAWS.values() for check in law.checks]
    assert len(checks) == 101
    assert sum(check.stated for check in checks) == 36


def test_every_formula_takes_arrays():
    for law in wb.LAWS.values():
        middle = {q.name: 2 if q.choices else (q.low or 1.5) * 1.01 for q in law.inputs}
        one = law.evaluate(**middle)
        many = law.evaluate(**{name: np.full(3, value) for name, value in middle.items()})
        np.testing.assert_allclose(many, [one] * 3, equal_nan=True)
        assert isinstance(one, float)


def test_entries_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        wb.LAWS["step law"].status = "verified"
