"""Editions of a suite: a part of its cells with equal ids, its tables, and clear words for mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import SuiteError
from harness.planning.plan import make_plan
from harness.planning.suite import find_suite_name, load_suite_file, parse_suite
from harness.records.store import Store

SHIPPED = ("robustness", "prompts", "peft", "gan", "fusion", "training")

FILE = """
name = "mine"
protocol = "classification"
models = [{ plugin = "tiny-vit", label = "ViT" }, { plugin = "tiny-resnet", label = "ResNet" }]
datasets = [{ plugin = "scenes", label = "plain" }, { plugin = "scenes", label = "sketches", shift = "sketch" }]
metrics = ["top1", "ece"]
seeds = [0, 1]

[editions.small]
models = ["R*"]
datasets = ["plain"]
metrics = ["top1"]
seeds = [1]
tables = ["b", { name = "a", values = ["top1"] }]

[editions.cut]
limit = 10

[editions.weak]
set = { "models.ViT.steps" = 3 }

[[tables]]
name = "a"
[[tables]]
name = "b"
[[tables]]
name = "c"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    return path


def cells(name: str | Path) -> dict[str, dict[str, Any]]:
    return {p.cell.id: p.cell.coordinates for p in make_plan(load_suite_file(name))}


@pytest.mark.parametrize("name", SHIPPED)
def test_quick_editions_are_a_part_of_their_suites(name: str) -> None:
    """So what a quick edition has computed, the whole suite need not compute again."""
    whole, quick = cells(name), cells(f"{name}@quick")
    assert 0 < len(quick) < len(whole) / 2
    assert set(quick) <= set(whole)
    suite = load_suite_file(f"{name}@quick")
    assert suite.name == f"{name}@quick"
    assert 1 <= len(suite.tables) <= 3
    assert not make_plan(suite).remarks


def test_an_edition_keeps_what_it_names(file: Path) -> None:
    found = cells(f"{file}@small")
    assert [(c["model"], c["dataset"], c["seed"]) for c in found.values()] == [("ResNet", "plain", 1)]
    suite = load_suite_file(f"{file}@small")
    assert [(t.name, t.values) for t in suite.tables] == [("a", ["top1"]), ("b", [])]
    assert suite.editions == {}
    (cell,) = [p.cell for p in make_plan(suite)]
    assert [m.label for m in cell.metrics] == ["top1"]


def test_a_limit_and_changed_keys_give_other_cells(file: Path) -> None:
    whole = cells(file)
    assert len(cells(f"{file}@cut")) == len(whole)
    assert not set(cells(f"{file}@cut")) & set(whole)
    same = set(cells(f"{file}@weak")) & set(whole)
    assert {whole[id]["model"] for id in same} == {"ResNet"}


def test_the_command_line_changes_an_edition(file: Path) -> None:
    suite = load_suite_file(f"{file}@weak", {"models.ViT.steps": 4, "seeds": [5]})
    assert {p.cell.seed for p in make_plan(suite)} == {5}
    assert suite.models[0] == {"plugin": "tiny-vit", "label": "ViT", "steps": 4}


def test_an_edition_has_a_plan_of_its_own_in_the_store(file: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    suite = load_suite_file(f"{file}@small")
    store.write_manifest(suite.model_dump(mode="json"), [])
    assert store.suites() == ["mine@small"]
    assert store.manifest("mine@small") is not None
    assert store.manifest("mine") is None
    assert find_suite_name(f"{file}@small") == "mine@small"
    assert find_suite_name("robustness@quick") == "robustness@quick"


def test_a_file_with_the_mark_in_its_name_is_a_suite(file: Path) -> None:
    other = file.rename(file.with_name("me@home.toml"))
    assert load_suite_file(other).name == "mine"
    assert load_suite_file(f"{other}@cut").limit == 10


@pytest.mark.parametrize(
    ("edition", "words"),
    [
        ('models = ["Resnet18"]', "no model 'Resnet18'"),
        ('tables = ["clipp"]', "editions.e.tables: the suite has no 'clipp'"),
        ('experiments = ["x"]', "editions.e.experiments: the suite has no 'x'"),
        ('model = ["ViT"]', "unknown key 'editions.e.model'; did you mean 'models'?"),
        ("seeds = [true]", "expected whole numbers"),
        ("limit = 0", "editions.e.limit: "),
        ("tables = [{ rows = [] }]", "tables with a `name`"),
        (
            'tables = [{ name = "a", row = [] }]',
            "editions.e.tables, 'a': unknown key 'row'; did you mean 'rows'?",
        ),
        ('set = { "modells.ViT.steps" = 3 }', "editions.e.set: modells.ViT.steps: unknown key 'modells'"),
        ("axes = { shots = [1] }", "no experiment of it has an axis 'shots'"),
    ],
)
def test_mistakes_in_editions_are_one_line(tmp_path: Path, edition: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FILE.replace("[editions.small]", f"[editions.e]\n{edition}\n\n[editions.small]"))
    with pytest.raises(SuiteError) as caught:
        make_plan(load_suite_file(f"{path}@e"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_edition_names_those_there_are(file: Path) -> None:
    with pytest.raises(SuiteError, match="no edition 'smal'; did you mean 'small'"):
        load_suite_file(f"{file}@smal")
    with pytest.raises(SuiteError, match="no edition 'zzzzzz'; known: cut, small, weak"):
        load_suite_file(f"{file}@zzzzzz")


def test_a_suites_own_name_holds_no_mark(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(FILE.replace('"mine"', '"mine@quick"'))
    with pytest.raises(SuiteError, match="'@' is for editions"):
        load_suite_file(path)


def test_an_experiments_own_narrowing_comes_before_the_editions() -> None:
    one = {"name": "one", "seeds": [0, 1, 2]}
    two = {"name": "two", "seeds": [0, 1, 2]}
    edition = {"seeds": [0], "experiments": [{"name": "one", "seeds": [1, 2]}, "two"]}
    suite = parse_suite({"name": "s", "experiments": [one, two], "editions": {"e": edition}})
    assert [g.seeds for g in suite.select_edition("e", "s").grids] == [[1, 2], [0]]


AXES = """
name = "a"
protocol = "few-shot"
models = ["tiny-clip"]
datasets = ["digits"]
methods = ["linear-probe"]
metrics = ["top1"]
seeds = [0, 1]
axes = { shots = [1, 2, 4] }
[editions.e]
seeds = [0]
limit = 9
axes = { shots = [1] }
[[experiments]]
name = "inherits"
[[experiments]]
name = "own"
axes = { shots = [8] }
[[experiments.include]]
model = { plugin = "tiny-clip", label = "other", steps = 7 }
[editions.only]
models = ["tiny-clip"]
"""


@pytest.fixture
def axes(tmp_path: Path) -> Path:
    path = tmp_path / "a.toml"
    path.write_text(AXES)
    return path


@pytest.mark.parametrize(
    ("overrides", "seeds", "shots", "limit"),
    [
        ({}, {0}, {1}, 9),
        ({"seeds": [7]}, {7}, {1}, 9),
        ({"limit": 30}, {0}, {1}, 30),
        ({"axes.shots": [16]}, {0}, {16, 8}, 9),
    ],
)
def test_the_command_line_comes_after_an_edition(
    axes: Path, overrides: dict[str, Any], seeds: set[int], shots: set[int], limit: int
) -> None:
    found = [p.cell for p in make_plan(load_suite_file(f"{axes}@e", overrides))]
    assert {c.seed for c in found} == seeds
    assert {c.axes["shots"] for c in found} == shots
    assert {c.limit for c in found} == {limit}


def test_a_key_of_an_experiment_that_the_edition_narrows_is_refused(axes: Path) -> None:
    with pytest.raises(SuiteError, match=r"--set experiments\.own\.seeds: edition 'e' narrows"):
        load_suite_file(f"{axes}@e", {"experiments.own.seeds": [3]})


def test_an_edition_gives_no_grid_an_axis_that_it_lacks(tmp_path: Path) -> None:
    suite = parse_suite(
        {
            "name": "s",
            "axes": {"shots": [1, 2], "foo": [0]},
            "experiments": [{"name": "one"}, {"name": "two", "axes": {"bar": [3]}}],
            "editions": {"e": {"axes": {"shots": [1]}}},
        }
    )
    grids = suite.select_edition("e", "s").grids
    assert [g.axes for g in grids] == [{"shots": [1], "foo": [0]}, {"bar": [3]}]


def test_cells_beside_the_grid_stay_unless_parts_are_narrowed(axes: Path) -> None:
    def models(name: str) -> set[str]:
        return {p.cell.model.label for p in make_plan(load_suite_file(name)) if p.cell.model}

    assert models(str(axes)) == models(f"{axes}@e") == {"tiny-clip", "other"}
    assert models(f"{axes}@only") == {"tiny-clip"}
