"""Tables of runs as text: what spreadsheets and files hold, and what is refused in words."""

from __future__ import annotations

import io
import zipfile

import pandas as pd
import pytest

import workbench as wb
from workbench.scaling.run_text import parse_runs, runs_as_text

ROWS = [["Params", "tokens", "LOSS"], ["1e7", "2e8", "3.91"], ["20000000", "4e8", "3.52"]]


@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_cells_of_a_file_and_of_a_spreadsheet_are_the_same_table(between, end):
    text = end.join(between.join(row) for row in ROWS) + end
    for content in (text, text.encode(), text.encode("utf-8-sig"), text.encode("utf-16")):
        table = wb.runs_from_text(content)
        assert table["params"].tolist() == [1e7, 2e7]
        assert table["loss"].tolist() == [3.91, 3.52]
        assert table["run"].tolist() == ["run 0", "run 1"]
        assert table["finished"].all()


def test_it_reads_what_pandas_reads(tmp_path):
    """The plain reader of files is the oracle, column by column."""
    own = wb.synthetic_runs(0.002).assign(run=[f'a "b", {i}' for i in range(48)], width=7)
    own.loc[3, "loss"] = float("nan")
    own.to_csv(tmp_path / "runs.csv", index=False)
    plain = pd.read_csv(tmp_path / "runs.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(parse_runs((tmp_path / "runs.csv").read_bytes()), plain)
    table = wb.training_runs(tmp_path / "runs.csv")
    pd.testing.assert_frame_equal(table, wb.training_runs(plain))
    assert not table["finished"][3]


def test_known_names_are_taken_in_any_case_and_others_as_they_are():
    text = "Learning rate\tparams\tTokens\tloss\tloss (Code)\tWidth\t\n1e-3\t1\t2\t3\t4\t5\t\n"
    table = wb.runs_from_text(text)
    assert table["learning_rate"].tolist() == [1e-3]
    assert {"loss (Code)", "Width"} <= set(table)
    assert "" not in table


def test_a_table_comes_back_from_its_text_to_the_last_digit():
    runs = wb.training_runs(wb.synthetic_runs(0.002)).assign(run=lambda t: t["run"] + ", <b>'\"")
    runs.loc[2, "loss"] = float("nan")
    runs["finished"] = runs["loss"].notna()
    for between in (",", "\t"):
        again = wb.runs_from_text(runs_as_text(runs, between))
        pd.testing.assert_frame_equal(again, runs, check_dtype=False, check_exact=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the table of runs is empty: its first line is params,tokens,loss"),
        (" \n\n", "is empty"),
        ("params,tokens,loss\n", "there is no training run"),
        ("1e7,2e8,3.9\n", r"holds numbers \(1e7, 2e8, 3.9\), and no names of columns"),
        ("N,D,loss\n1,2,3\n", "lacks the columns params, tokens: its first line names N, D, loss"),
        ("params,tokens,loss,Loss\n1,2,3,4\n", r"names the columns \['loss'\] twice"),
        ("params,tokens,loss\n1e7,2e8\n", "line 2 of the table of runs has 2 cells .* names 3"),
        ("params,tokens,loss\n\n1e7,2e8,3,9\n", "line 3 of the table of runs has 4 cells"),
        ("params;tokens;loss\n1e7;2e8;3,91\n", "'loss' of line 2 is '3,91', .* a point before"),
        ("params,tokens,loss\n125M,2e8,3.9\n", "'params' of line 2 is '125M', .* 125M as 125e6"),
        ("params,tokens,loss\n1_000,2e8,3.9\n", "is '1_000', and not a number"),
        ("params,tokens,loss\n,2e8,3.9\n", "hold a value that is missing"),
        ("params,tokens,loss\n1e7,2e8,-3.9\n", "not above 0"),
        ("params,tokens,loss,finished\n1e7,2e8,3,maybe\n", "write true or false"),
        ('params,tokens,loss\n1e7,2e8,"3.9\n', "line 2 of the table of runs: unexpected end"),
        (b"params,tokens,loss\n1e7,2e8,3.9 \xe4\n", "no text in UTF-8 .byte 31 is 0xe4"),
    ],
)
def test_what_is_no_table_of_runs_is_refused_in_words(content, message):
    with pytest.raises(ValueError, match=message):
        wb.runs_from_text(content)


def test_a_workbook_of_a_spreadsheet_program_is_refused():
    buffer = io.BytesIO()

    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(ValueError, match="save it as CSV, or copy its cells and paste them"):
        wb.runs_from_text(buffer.getvalue())
