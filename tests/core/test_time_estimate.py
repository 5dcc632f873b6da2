"""The time that a plan expects: closed forms, invariants, and what it rests on in a store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.cli import main
from harness.planning.time_estimate import KINDS, Finished, TimeEstimate, estimate_time, say_duration
from harness.records.store import Store

SUITE: dict[str, Any] = {
    "name": "mine",
    "protocol": "toy",
    "models": [{"plugin": "toy", "label": "a"}, {"plugin": "toy", "label": "b", "bias": 0.1}],
    "datasets": [{"plugin": "toy", "label": "plain"}, {"plugin": "toy", "label": "other", "name": "other"}],
    "axes": {"shots": [1, 2]},
}
TOML = """name = "mine"
protocol = "toy"
models = [{ plugin = "toy", label = "a" }, { plugin = "toy", label = "b", bias = 0.1 }]
datasets = [{ plugin = "toy", label = "plain" }, { plugin = "toy", label = "other", name = "other" }]
axes = { shots = [1, 2] }
"""


class Known:
    """Finished cells by cell and kind, as a table."""

    def __init__(self, table: Mapping[tuple[str, int], Sequence[float]]) -> None:
        self.table = table

    def like(self, cell: Any, kind: int) -> Sequence[Finished]:
        seconds = self.table.get((cell.id, kind), ())
        return [Finished(f"{cell.id}-{kind}-{n}", s, "box") for n, s in enumerate(seconds)]


def cells(*ids: str) -> list[Any]:
    return [SimpleNamespace(id=id) for id in ids]


def test_each_cell_takes_the_median_of_those_most_like_it() -> None:
    known = Known({("a", 0): [1.0, 9.0, 2.0], ("a", 5): [100.0], ("b", 4): [10.0, 20.0], ("m", 0): [50.0]})
    found = estimate_time(cells("a", "b", "c", "m"), known, measured=["m"])
    assert found.seconds == 2.0 + 15.0
    assert found.kinds == {KINDS[0]: 1, KINDS[4]: 1}
    assert (found.cells, found.known, found.unknown, found.measured, found.finished) == (4, 2, 1, 1, 5)
    assert "about 17 s on one worker" in str(found)
    assert "2 of 4 cells, from 5 finished ones (box): 1 from ones that differ in the seed alone" in str(found)
    assert str(found).endswith("of 1 nothing is known")


def test_without_knowledge_there_is_no_guess() -> None:
    found = estimate_time(cells("a"), Known({}))
    assert found.seconds is None
    assert str(found).startswith("unknown: ")
    assert found.to_dict()["seconds"] is None


TABLES = st.dictionaries(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, len(KINDS) - 1)),
    st.lists(st.floats(0, 1e6), min_size=1, max_size=5),
)


@given(TABLES, st.sets(st.sampled_from("abcdef")), st.permutations("abcdef"))
def test_what_holds_of_every_estimate(
    table: dict[tuple[str, int], list[float]], measured: set[str], order: list[str]
) -> None:
    found = estimate_time(cells(*order), Known(table), measured)
    assert found.known + found.unknown + found.measured == found.cells == 6
    assert (found.seconds is None) == (found.known == 0)
    rest = [id for id in order if id not in measured]
    each = [estimate_time(cells(id), Known(table)).seconds for id in rest]
    assert (found.seconds or 0.0) == pytest.approx(sum(s for s in each if s is not None))
    for id, seconds in zip(rest, each, strict=True):
        used = next((table[id, kind] for kind in range(len(KINDS)) if (id, kind) in table), None)
        assert seconds is None if used is None else min(used) <= (seconds or 0.0) <= max(used)
    twice = {key: [2 * s for s in seconds] for key, seconds in table.items()}
    doubled = estimate_time(cells(*order), Known(twice), measured).seconds
    assert (doubled or 0.0) == pytest.approx(2 * (found.seconds or 0.0))


@given(st.floats(0, 1e8))
def test_durations_are_near_what_they_say(seconds: float) -> None:
    number, unit = say_duration(seconds).split()
    said = float(number) * {"s": 1, "min": 60, "h": 3600, "days": 86400}[unit]
    assert abs(said - seconds) <= max(1.0, 0.35 * seconds if seconds < 120 else 0.05 * seconds)


def finish(store: Store, seconds: Mapping[str, float] | float, **changes: Any) -> None:
    """Give the records of a store these seconds, by their model, and change their provenance."""
    for record in store.records():
        one = seconds if isinstance(seconds, float) else seconds[record.coordinates["model"]]
        record.cost = {"seconds": one + 100.0, "one_time_seconds": 100.0}
        record.provenance |= changes
        store.write(record)


def expected(store: Store, **choices: Any) -> TimeEstimate:
    found = harness.plan(choices.pop("suite", SUITE), store=store.path, **choices).time
    assert found is not None
    return found


def test_other_seeds_come_first_and_one_time_work_is_left_out(toys: Any, store: Store) -> None:
    assert expected(store).seconds is None
    harness.run(SUITE, store=store.path)
    finish(store, {"a": 2.0, "b": 5.0})
    assert harness.plan(SUITE, store=store.path).time is None  # nothing is to run
    found = expected(store, seeds=[0, 1, 2])
    assert found.seconds == pytest.approx(2 * (4 * 2.0 + 4 * 5.0))
    assert found.kinds == {KINDS[0]: 16}
    assert found.finished == 8
    assert found.unknown == 0
    assert expected(store, fresh=True).seconds == pytest.approx(4 * 2.0 + 4 * 5.0)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"axes": {"shots": [4]}}, 1),
        ({"datasets": [{"plugin": "toy", "label": "new", "name": "new"}]}, 3),
        ({"models": [{"plugin": "toy", "label": "c", "bias": 0.3}]}, 5),
    ],
)
def test_less_alike_ones_are_used_and_named(toys: Any, store: Store, change: Any, kind: int) -> None:
    harness.run(SUITE, store=store.path)
    finish(store, 3.0)
    found = expected(store, suite={**SUITE, **change})
    assert found.kinds == {KINDS[kind]: found.cells}
    assert found.seconds == pytest.approx(3.0 * found.cells)


def test_labels_alone_prove_nothing(toys: Any, store: Store) -> None:
    harness.run(SUITE, store=store.path)
    finish(store, {"a": 2.0, "b": 5.0})
    renamed = [{"plugin": "toy", "label": "b"}]  # the first model, under the second one's label
    found = expected(store, suite={**SUITE, "models": renamed}, seeds=[1])
    assert found.kinds == {KINDS[5]: 4}


@pytest.mark.parametrize("choice", [{"limit": 5}, {"precision": "bfloat16"}, {"images": "fast"}])
def test_settings_that_change_the_work_make_it_unknown(toys: Any, store: Store, choice: Any) -> None:
    harness.run(SUITE, store=store.path)
    found = expected(store, **choice)
    assert found.seconds is None
    assert found.unknown == found.cells == 8


def test_failed_and_imported_records_are_no_basis(toys: Any, store: Store) -> None:
    harness.run(SUITE, store=store.path)
    for number, record in enumerate(store.records()):
        record.status, record.reason = ("failed", "deliberate") if number % 2 else ("ok", None)
        record.cost = {} if record.status == "ok" else {"seconds": 1e-3}
        store.write(record)
    assert expected(store, seeds=[7]).seconds is None


def test_this_machine_counts_before_another_which_is_named(toys: Any, store: Store, tmp_path: Path) -> None:
    harness.run(SUITE, store=store.path)
    other = {"host": {"cpu": "Abacus 3000", "cpus": 1}, "device": {"type": "cpu", "threads": 4}}
    finish(store, 50.0, **other)
    found = expected(store, seeds=[1])
    assert found.machines == ("another machine: Abacus 3000, 4 threads",)
    assert "another machine: Abacus 3000, 4 threads" in str(found)
    assert found.seconds == pytest.approx(8 * 50.0)
    mine = Store(tmp_path / "mine")
    harness.run(SUITE, store=mine.path, seeds=[1])
    finish(mine, 3.0)
    harness.merge(store.path, mine.path)
    found = expected(store, seeds=[2])
    assert found.seconds == pytest.approx(8 * 3.0)
    assert not any("another" in machine for machine in found.machines)


def test_a_gpu_is_named_by_its_name(toys: Any, store: Store) -> None:
    harness.run(SUITE, store=store.path)
    finish(store, 1.0, device={"type": "cuda", "name": "Big GPU"})
    assert expected(store, seeds=[1]).machines == ("Big GPU",)


def test_the_command_says_it_and_its_json_holds_it(
    toys: Any, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.run(SUITE, store=store.path)
    finish(store, 60.0)
    file = tmp_path / "mine.toml"
    file.write_text(TOML)
    arguments = ["plan", str(file), "--seeds", "0,1", "--store", str(store.path)]
    assert main(arguments) == 0
    assert "  time      about 8 min on one worker" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    assert printed["time"]["seconds"] == pytest.approx(480.0)
    assert printed["time"]["kinds"] == {KINDS[0]: 8}
    plan = harness.plan(SUITE, store=store.path, seeds=[0, 1])
    assert "about 8 min" in repr(plan)
    assert "about 8 min" in plan._repr_html_()


def test_only_records_that_may_be_alike_are_opened(
    toys: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.run(SUITE, store=store.path, seeds=range(12))
    store.done()
    opened: list[str] = []
    read = Store.read
    monkeypatch.setattr(Store, "read", lambda self, id: opened.append(id) or read(self, id))
    expected(store, models=["a"], datasets=["plain"], set={"axes.shots": [1]}, seeds=[99])
    assert 1 <= len(opened) <= 5
