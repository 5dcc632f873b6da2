"""What is noted at the numbers of a table stands in every format, as do the words for bold and underlined."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.leaderboard.entries import (
    Column,
    Row,
    TableValue,
    footnote_marks,
    format_interval,
    format_number,
)
from harness.leaderboard.formats import FORMATS, render
from harness.leaderboard.table import Table

WORDS = st.text("abcdefgh é&|_", min_size=3, max_size=30).map(lambda t: f"says {t.strip() or 'x'}.")


def made(notes: list[list[int]], texts: list[str], values: list[float | None] | None = None) -> Table:
    """A table with one row per list of notes and one number in each."""
    table = Table("t", "T", ("model",), ("dataset",), [Column(("x",), "top1", percent=True, decimals=1)], [])
    for text in texts:
        table.note(text)
    for n, own in enumerate(notes):
        value = 0.5 + n / 100 if values is None else values[n]
        table.rows.append(
            Row((f"m{n}",), [TableValue(value, notes=[k for k in own if k < len(table.footnotes)])])
        )
    return table


def plain(text: str, format: str) -> str:
    """What a reader of the format sees."""
    if format == "json":
        return " ".join(json.loads(text)["footnotes"])
    if format == "csv":
        return " ".join(field for row in csv.reader(io.StringIO(text)) for field in row)
    if format == "html":
        return unescape(text)
    return (
        re.sub(r"\\textbar\{\}", "|", unescape(text)).replace("\\", "")
        if format == "latex"
        else unescape(text.replace("\\", ""))
    )


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(WORDS, min_size=1, max_size=5, unique=True),
    notes=st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=4),
)
def test_no_format_loses_a_footnote(format: str, texts: list[str], notes: list[list[int]]) -> None:
    table = made(notes, texts)
    table.say_once()
    seen = plain(render(table, format), format)
    for text in texts:
        assert text in seen


def test_footnotes_are_never_cut() -> None:
    long = "left out: " + "a file, " * 100 + "the last"
    for format in FORMATS:
        assert "the last" in render(made([[0]], [long]), format)


def test_csv_has_notes_at_the_rows_that_they_concern() -> None:
    table = made([[0], [], [1, 0]], ["one", "two", "of all"])
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert [r["notes"] for r in rows] == ["x: one; of all", "of all", "x: two; x: one; of all"]
    assert [r["x"] for r in rows] == ["0.5", "0.51", "0.52"]
    assert "notes" not in render(made([[], []], []), "csv")
    empty = made([], ["not available: no metric"])
    assert next(csv.DictReader(io.StringIO(render(empty, "csv"))))["notes"] == "not available: no metric"


def test_what_all_numbers_share_is_said_once() -> None:
    table = made([[0], [0, 1], [0], []], ["9 of 17 files", "own"], [0.5, 0.6, 0.7, None])
    table.say_once()
    assert table.footnotes == ["own", "all numbers: 9 of 17 files"]
    assert [r.entries[0].notes for r in table.rows] == [[], [0], [], []]
    single = made([[0]], ["alone"])
    single.say_once()
    assert single.rows[0].entries[0].notes == [0]


def test_many_marks_are_drawn_together() -> None:
    assert footnote_marks([6, 0, 1, 2, 3]) == "1–4,7"
    assert footnote_marks([0, 1]) == "1,2"
    text = render(made([[0, 1, 2, 4]], list("abcde")), "markdown")
    assert "50.0¹⁻³,⁵" in text


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ("terminal", "*: best; °: not significantly worse (paired on the same samples, Holm, 0.05)"),
        ("markdown", "bold: best; underlined: not significantly worse"),
        ("html", "<b>bold</b>: best; <u>underlined</u>: not significantly worse"),
        ("latex", r"\textbf{bold}: best; \underline{underlined}: not significantly worse"),
    ],
)
def test_the_marks_of_best_and_tied_are_explained(format: str, words: str) -> None:
    table = made([[], []], [])
    assert "not significantly worse" not in render(table, format)
    table.rows[0].entries[0].best = table.rows[1].entries[0].tied = True
    assert words in render(table, format)


@pytest.mark.parametrize(
    ("entry", "column", "shown"),
    [
        (TableValue(0.617, 0.617, 0.617), Column(("x",), "top1", percent=True, decimals=1), ""),
        (TableValue(2.25e-07, 2.25e-07, 2.25e-07), Column(("x",), "ece"), ""),
        (TableValue(2.25e-07, 1.25e-07, 3.25e-07), Column(("x",), "ece"), "± 1.00e-07"),
        (TableValue(2.25e-07, 4e-07, 6e-07), Column(("x",), "ece"), "[4.00e-07, 6.00e-07]"),
        (TableValue(0.5, 0.4996, 0.5004), Column(("x",), "top1", percent=True, decimals=0), "± 0.04"),
        (TableValue(0.5, 0.4, 0.6), Column(("x",), "top1", percent=True, decimals=1), "± 10.0"),
        (TableValue(-0.5, -0.7, -0.4), Column(("x",), "d", decimals=2), "[−0.70, −0.40]"),
        (TableValue(0.5, 0.49998, 0.50002), Column(("x",), "ece", decimals=1), "± 0.00002"),
        (TableValue(96.1e6, 96.0e6, 96.2e6), Column(("x",), "n", "cost"), "± 100 k"),
        (TableValue(96.1e6, 95e6, 98e6), Column(("x",), "n", "cost"), "[95 M, 98 M]"),
        (TableValue(-2.0, -3.0, -0.5), Column(("x",), "n", "cost"), "[-3, -0.5]"),
    ],
)
def test_an_interval_is_written_as_its_number_is(entry: TableValue, column: Column, shown: str) -> None:
    assert format_interval(entry, column) == shown


@settings(max_examples=300, deadline=None)
@given(
    value=st.floats(-1e9, 1e9),
    width=st.floats(1e-6, 1e3),
    percent=st.booleans(),
    kind=st.sampled_from(["value", "cost"]),
)
def test_number_and_interval_have_one_notation(
    value: float, width: float, percent: bool, kind: Literal["value", "cost"]
) -> None:
    entry = TableValue(value, value - width, value + width)
    column = Column(("x",), "m", kind, percent=percent and kind == "value")
    text, interval = format_number(value, column), format_interval(entry, column)
    if kind == "value" and interval:
        assert ("e" in text) == ("e" in interval)
    if kind == "cost" and abs(value) > 1e-3:
        assert "e+" not in text + interval
    assert "-" not in (text + interval).replace("e-", "") or kind == "cost"


@settings(max_examples=300, deadline=None)
@given(
    value=st.floats(-1e9, 1e9),
    ends=st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)),
    scale=st.sampled_from([1e-9, 1e-4, 1.0, 1e5]),
    facts=st.fixed_dictionaries({"percent": st.booleans(), "decimals": st.integers(0, 4)}),
)
def test_no_half_width_is_negative_or_nothing(
    value: float, ends: tuple[float, float], scale: float, facts: dict[str, Any]
) -> None:
    entry = TableValue(value, value - ends[0] * scale, value + ends[1] * scale)
    shown = format_interval(entry, Column(("x",), "m", **facts))
    if shown.startswith("±"):
        assert float(shown[2:]) > 0
    elif shown == "":
        assert entry.low == entry.high


@pytest.mark.parametrize("number", [2, 3, 9])
def test_many_footnotes_alike_but_for_their_rows_labels_are_one(number: int) -> None:
    texts = [
        f"output i of the model 'm{n}' was assumed to be class i of the data set 'd'" for n in range(number)
    ]
    texts += [f"m{n}: the weights under 'model' were taken" for n in range(number)] + ["other"]
    rows = [Row((f"m{n}",), [TableValue(n / 10, notes=[n, number + n])]) for n in range(number)]
    rows.append(Row(("x",), [TableValue(0.5, notes=[2 * number])]))
    table = Table("t", "t", ("model",), ("dataset",), [Column(("d",), "top1")], rows, texts)
    table.say_once()
    if number < 3:
        assert table.footnotes == texts
        return
    assert table.footnotes == [
        "output i of the model was assumed to be class i of the data set",
        "the weights under 'model' were taken",
        "other",
    ]
    assert [row.entries[0].notes for row in rows] == [[0, 1]] * number + [[2]]
