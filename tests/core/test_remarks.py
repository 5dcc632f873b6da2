"""Remarks: from where something is left out or assumed to the record, the plan, the progress and every table."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.contract.running import Job, Result
from harness.discovery import registry
from harness.leaderboard.build import build_tables
from harness.leaderboard.frame import shorten_columns, suite_frame
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.store import Store
from harness.running.hooks import hookimpl
from harness.running.outcome import Run
from harness.running.progress import MOST_REMARKS, LineDisplay
from harness.running.runner import run

LEFT_OUT = "3 of 13 files are no images (first: notes.txt)"
SUITE: dict[str, Any] = {
    "name": "s",
    "protocol": "p",
    "models": ["m"],
    "datasets": ["d"],
    "metrics": [],
    "tables": [{"name": "t", "values": ["score"]}],
}


class Opened:
    ids = ("a", "b")
    targets = (0, 1)
    remarks = ("1 image is greyscale",)

    def __len__(self) -> int:
        return 2


class Folder:
    splits = ("test",)
    remarks = (LEFT_OUT,)

    def __init__(self, name: str = "x", content: str = "c") -> None:
        self.name, self.content = name, content

    def load(self, split: str) -> Opened:
        return Opened()


class Net:
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def load(self, device: Any) -> None:
        self.remarks.append("averaged weights were taken")


class Scores:
    provides = ()
    own_numbers = ("score",)

    def assumes(self, model: Any, dataset: Any, method: Any, axes: Mapping[str, Any]) -> list[str]:
        return ["the order of the data set's classes is assumed"]

    def run(self, job: Job) -> Result:
        job.splits("test")
        job.remark("2 prompts were cut")
        job.remark("2 prompts were cut")
        return Result(metrics={"score": 0.5}, count=2)


ALL = [
    f"d: {LEFT_OUT}",
    "the order of the data set's classes is assumed (here: model 'm')",
    "d: 1 image is greyscale",
    "2 prompts were cut",
    "m: averaged weights were taken",
]


@pytest.fixture(autouse=True)
def plugins(own_registry: None) -> None:
    for kind, name, made in (("models", "m", Net), ("datasets", "d", Folder), ("protocols", "p", Scores)):
        registry.register(kind, name, made)


def go(store: Store, *listeners: object, **changes: Any) -> Run:
    suite = parse_suite({**SUITE, **changes})
    return run(suite, store, device="cpu", installed_listeners=False, listeners=listeners)


def test_every_source_of_remarks_reaches_the_record(store: Store) -> None:
    (record,) = go(store).records
    assert record.notes["remarks"] == record.remarks
    assert sorted(record.remarks) == sorted(ALL)
    assert store.read(record.id).remarks == record.remarks  # type: ignore[union-attr]


def test_a_plan_tells_what_is_known_before_it_runs(store: Store) -> None:
    remarks = make_plan(parse_suite(SUITE)).remarks
    assert remarks[0] == f"d: {LEFT_OUT}"
    assert len(remarks) == 2


def test_a_cell_that_fails_keeps_its_remarks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Scores, job: Job) -> Result:
        job.splits("test")
        raise ValueError("no")

    monkeypatch.setattr(Scores, "run", fails)
    (record,) = go(store).records
    assert record.status == "failed"
    assert f"d: {LEFT_OUT}" in record.remarks
    assert "d: 1 image is greyscale" in record.remarks


@pytest.mark.parametrize("form", ["terminal", "markdown", "json", "latex", "html"])
def test_every_remark_stands_below_the_table(store: Store, form: str) -> None:
    (table,) = go(store).tables()
    text = table.render(form).replace("\\_", "_")
    for remark in table.footnotes:
        assert remark.split("'")[0][:25].replace("&", "") in text
    assert len(table.footnotes) == 5


def test_frames_have_them(store: Store) -> None:
    go(store)
    (text,) = shorten_columns(suite_frame(store, "s"))["remarks"]
    assert "2 prompts were cut" in text
    assert LEFT_OUT in text


def test_progress_tells_each_once(store: Store) -> None:
    stream = io.StringIO()
    go(store, LineDisplay(stream), datasets=["d", {"plugin": "d", "content": "other", "label": "e"}])
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if line == f"note: d: {LEFT_OUT}"]) == 1
    assert len([line for line in lines if line == "note: 2 prompts were cut"]) == 1


@given(
    st.lists(
        st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), min_size=1, max_size=3),
        max_size=60,
    )
)
def test_the_progress_shows_at_most_so_many(texts: list[str]) -> None:
    stream = io.StringIO()
    seen = LineDisplay(stream)
    for text in texts:
        seen.tell([text])
    lines = stream.getvalue().split("note: ")[1:]
    different = len(dict.fromkeys(texts))
    assert len(lines) == min(different, MOST_REMARKS + 1)


def test_equal_content_under_two_names_keeps_both_rows_on_one_record(store: Store) -> None:
    ran = []

    class Counts:
        @hookimpl
        def cell_started(self, cell: Any) -> None:
            ran.append(cell.id)

    names = [{"plugin": "d", "label": "one"}, {"plugin": "d", "label": "two"}]
    outcome = go(store, Counts(), datasets=names)
    assert [p.cell.dataset.label for p in outcome.plan] == ["one", "two"]
    assert len(ran) == len(outcome.records) == 1
    (table,) = outcome.tables()
    assert [c.header for c in table.columns] == [("one",), ("two",)]
    assert [e.value for e in table.rows[0].entries] == [0.5, 0.5]
    said = "data set 'two' is the same as 'one' in all that decides results: they share one record"
    assert f"all numbers: {said}" in table.footnotes
    assert said in outcome.records[0].remarks


def test_one_record_under_two_names_is_counted_once_in_a_mean(store: Store) -> None:
    names = [{"plugin": "d", "label": "one"}, {"plugin": "d", "label": "two"}]
    suite = parse_suite(
        {**SUITE, "datasets": names, "tables": [{"name": "t", "values": ["score"], "columns": []}]}
    )
    outcome = run(suite, store, device="cpu", installed_listeners=False)
    (table,) = build_tables(suite, outcome.frame(), store)
    assert table.rows[0].entries[0].count == 1


def test_the_same_cell_in_two_experiments_is_planned_once() -> None:
    twice = [{"name": "a"}, {"name": "b"}]
    assert len(make_plan(parse_suite({**SUITE, "experiments": twice}))) == 1


def test_json_answers_have_them(store: Store, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli import main

    path = tmp_path / "s.toml"
    path.write_text('name = "s"\nprotocol = "p"\nmodels = ["m"]\ndatasets = ["d"]\n', encoding="utf-8")
    assert main(["plan", str(path), "--store", str(store.path), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert f"d: {LEFT_OUT}" in answer["remarks"]


def test_a_record_of_another_suite_speaks_of_the_parts_by_their_labels_here(
    toys: SimpleNamespace, store: Store
) -> None:
    class Speaking(toys.Protocol):  # type: ignore[misc, name-defined]
        def assumes(self, model: object, dataset: object, method: object, axes: object) -> list[str]:
            return ["the model takes the data set as it is"]

        def run(self, job: Job) -> Result:
            job.remark(f"{job.cell.dataset.label}: 3 of 9 files left out")
            job.remark(f"'{job.cell.model.label}' and '{job.cell.dataset.label}'")
            return super().run(job)

    harness.register("protocols", "speaking", Speaking)
    base = {"protocol": "speaking"}
    for name, model, dataset in (("one", "m", "d"), ("two", "m", "pets"), ("three", "ResNet (50)", "pets")):
        parts = {
            "models": [{"plugin": "toy", "label": model}],
            "datasets": [{"plugin": "toy", "name": "a", "label": dataset}],
        }
        outcome = harness.run({**base, **parts, "name": name}, store=store.path)
        assert len(outcome.records) == (name == "one")
        (shown,) = outcome.tables()
        assert shown.footnotes == [
            f"the model '{model}' takes the data set '{dataset}' as it is",
            f"{dataset}: 3 of 9 files left out",
            f"'{model}' and '{dataset}'",
        ]


def test_each_of_several_names_of_one_content_is_told_of_once(store: Store) -> None:
    labels = ("one", "two", "three", "four")
    outcome = go(store, datasets=[{"plugin": "d", "label": label} for label in labels])
    (table,) = outcome.tables()
    same = {
        label: f"data set '{label}' is the same as 'one' in all that decides results: they share one record"
        for label in labels[1:]
    }
    assert sorted(text for text in table.footnotes if "the same as" in text) == sorted(same.values())
    assert sorted(text for text in outcome.plan.remarks if "the same as" in text) == sorted(same.values())
    for label, entry in zip(labels, table.rows[0].entries, strict=True):
        notes = [table.footnotes[n] for n in entry.notes]
        assert [n for n in notes if "the same as" in n] == (
            [same[label]] if label in same else [*same.values()]
        )
        assert LEFT_OUT in [*notes, *(text.removeprefix("all numbers: ") for text in table.footnotes)]
    assert len([text for text in table.footnotes if text.endswith(LEFT_OUT)]) == 1
