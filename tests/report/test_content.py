"""What stands at the top of a page, and its galleries: origins, headlines, anchors and misses."""

import pytest

from harness.leaderboard.entries import Column, Row, TableValue
from harness.leaderboard.table import Table
from harness.records.record import Record
from harness.reporting.anchors import Anchors
from harness.reporting.headlines import render_headline
from harness.reporting.misses import choose_misses
from harness.reporting.origins import Origins


def record(id, **provenance):
    return Record(id, "ok", "s", {}, {}, {}, provenance=provenance)


def test_origins_tell_when_with_what_and_by_which_command():
    origins = Origins()
    libraries = {"torch": "2.4.0", "timm": "1.0"}
    common = {"harness": "0.1.0", "python": "3.11.7", "device": {"type": "cuda", "name": "H200 <x>"}}
    origins.add(record("a", started="2026-03-01T23:50:00+00:00", ended="2026-03-02T00:10:00+00:00",
                       libraries=libraries, command="harness run a --set x=<b>", **common))  # fmt: skip
    origins.add(record("b", started="2026-03-01T12:00:00+02:00", libraries={"torch": "2.5.0"}, **common))
    origins.add(record("elsewhere", started="2020-01-01T00:00:00+00:00"))
    shown = origins.render(["a", "b", "unknown"])
    assert "1 March 2026, 10:00 to 2 March 2026, 00:10 UTC" in shown
    assert "vision-harness 0.1.0 · Python 3.11.7 · torch 2.4.0, 2.5.0 · timm 1.0" in shown
    assert "cuda H200 &lt;x&gt;" in shown
    assert "<code>harness run a --set x=&lt;b&gt;</code>" in shown
    assert "2020" not in shown
    assert Origins().render(["a"]) == ""


@pytest.mark.parametrize(
    "odd", [{"libraries": "x", "git": 1}, {"started": "yesterday"}, {"device": {"type": None}}, {}]
)
def test_records_of_other_programs_have_odd_origins(odd):
    origins = Origins()
    origins.add(record("a", **odd))
    assert "None" not in origins.render(["a"])


def test_many_commands_are_counted():
    origins = Origins()
    for n in range(9):
        origins.add(record(str(n), command=f"harness run {n}"))
    shown = origins.render(map(str, range(9)))
    assert shown.count("harness run") == 4
    assert "and 5 more" in shown


def table(values, better=True, rows=("model",)):
    """Models in rows and data sets in columns; the best of each column marked, as `mark_best` does."""
    columns = [
        Column((f"d{n}",), "top1", percent=True, decimals=1, higher_is_better=better)
        for n in range(len(values[0]))
    ]
    made = [Row((f"<m{n}>",), [TableValue(v) for v in line]) for n, line in enumerate(values)]
    for n in range(len(columns)):
        known = [row.entries[n] for row in made if row.entries[n].value is not None]
        if better is not None and len(known) > 1:
            max(known, key=lambda e: e.value).best = True
    return Table("t", "Top-1", rows, ("dataset",), columns, made)


def test_the_headline_counts_who_is_best():
    shown = render_headline([table([[0.9, 0.8, 0.1], [0.5, 0.9, 0.0]])])
    assert shown == (
        "Top-1: <strong>&lt;m0&gt;</strong> is best in 2 of 3 comparisons; <strong>&lt;m1&gt;</strong> in 1"
    )
    assert render_headline([table([[0.9], [0.5]])]) == "Top-1: <strong>&lt;m0&gt;</strong> with 90.0"
    several = [[float(n == column) for column in range(6)] for n in range(6)]
    assert render_headline([table(several)]).endswith("; 3 others in the rest")


def test_without_a_best_the_headline_is_a_range():
    shown = render_headline([table([[None], [None]]), table([[0.5, 0.1], [0.5, 0.3]], better=None)])
    assert shown == (
        "Top-1: d1 from 10.0 (<strong>&lt;m0&gt;</strong>) to 30.0 (<strong>&lt;m1&gt;</strong>)"
    )
    assert render_headline([table([[0.5]])]) == ""
    assert render_headline([]) == ""


def test_anchors_are_unique_and_safe():
    anchors = Anchors()
    made = [anchors.make("table", name) for name in ("A b", "a-b", "<script>", "模型", "../x", "x" * 500, "")]
    assert made[:4] == ["table-a-b", "table-a-b-2", "table-script", "table"]
    assert len(set(made)) == len(made)
    assert all(
        len(anchor) < 80 and set(anchor) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for anchor in made
    )


def excerpt(ids, hits, names=None):
    rows = [[id, n % 3, (n + 1) % 3] for n, id in enumerate(ids)]
    thumbs = [[n, 100 + n] for n in range(len(ids))]
    return {
        "columns": ["id", "target", "prediction"],
        "rows": rows,
        "hit": hits,
        "thumbs": thumbs,
        "names": names or {},
    }


def test_misses_take_turns_and_each_sample_comes_once():
    names = {"0": "cat", "1": "dog", "2": "cow"}
    found = choose_misses(
        {
            "a": excerpt(["s0", "s1", "s2", "s3"], [0, 0, 1, 0], names),
            "b": excerpt(["s0", "s5", "s6"], [0, 0, 0]),
            "measured": {"columns": ["id", "score"], "rows": [["s9", 1.0]], "hit": None},
            "unopened": {
                "columns": ["id", "target", "prediction"],
                "rows": [["s8", 0, 1]],
                "hit": [0],
                "without": "gone",
            },
        }
    )
    assert [(m.id, m.sample) for m in found] == [
        ("a", "s0"),
        ("a", "s1"),
        ("b", "s5"),
        ("a", "s3"),
        ("b", "s6"),
    ]
    assert (found[0].target, found[0].prediction, found[0].picture) == ("cat", "dog", 100)
    assert (found[2].target, found[2].prediction) == ("1", "2")
    assert len(choose_misses({"a": excerpt([str(n) for n in range(50)], [0] * 50)}, shown=7)) == 7
