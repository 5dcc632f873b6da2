"""Typos in tables and plots are told when a suite is planned, those of a choice of records when a table is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.cli import main
from harness.discovery import registry
from harness.errors import HarnessError, SuiteError
from harness.planning.plan import Choice, Plan, make_plan
from harness.planning.suite import load_suite_file, parse_suite

SUITE: dict[str, Any] = {
    "name": "s",
    "protocol": "classification",
    "models": [
        {"plugin": "tiny-vit", "label": "ViT", "tags": {"family": "main"}, "steps": 0},
        {"plugin": "tiny-resnet", "label": "ResNet", "tags": {"family": "other"}, "steps": 0},
    ],
    "datasets": ["digits"],
    "metrics": ["top1", "ece"],
    "seeds": [0, 1],
}


def planned(choice: Choice | None = None, plots: list[dict[str, Any]] | None = None, **table: Any) -> Plan:
    tables = [{"name": "t", **table}] if table else []
    return make_plan(parse_suite({**SUITE, "tables": tables, "plots": plots or []}), choice)


GOOD: list[dict[str, Any]] = [
    {"rows": ["model"], "columns": ["dataset"], "values": ["top1"], "sort": "-digits"},
    {"rows": ["model", "metric"], "columns": ["tag.model.family", "seed"], "values": ["top1", "ece"]},
    {"values": ["seconds", "parameters", "top1"], "columns": [], "sort": "top1"},
    {"where": {"model": ["V*", "ResNet"], "tag.model.family": "main", "seed": 1}, "group": "model.family"},
    {"baseline": {"model": "ViT"}, "ranking": True, "sort": "average rank"},
    {"columns": ["dataset", "metric"], "values": ["top1", "ece"], "sort": "digits/ece"},
]


@pytest.mark.parametrize("table", GOOD)
def test_a_sound_table_raises_no_doubt(table: dict[str, Any]) -> None:
    assert planned(**table).remarks == []
    assert planned(Choice(models=["ViT"]), **table).remarks == []


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"rows": ["modle"]}, "rows: no coordinate or tag is called 'modle'; did you mean 'model'"),
        ({"columns": ["datset"]}, "columns: no coordinate or tag is called 'datset'; did you mean 'dataset'"),
        ({"group": "famly"}, "group: no coordinate or tag is called 'famly'"),
        ({"where": {"modl": "ViT"}}, "where: no coordinate or tag is called 'modl'; did you mean 'model'"),
        ({"values": ["top-1"]}, "values: nothing is known to be called 'top-1'; did you mean 'top1'"),
        ({"values": ["paramters"]}, "did you mean 'parameters'"),
        (
            {"baseline": {"modle": "ViT"}},
            "baseline 'modle' is neither in rows nor in columns; did you mean 'model'",
        ),
        ({"sort": "digts"}, "can't sort by 'digts'; did you mean 'digits'"),
        ({"summary": "gaps"}, "did you mean 'gap'"),
    ],
)
def test_what_can_not_be_right_is_refused_before_anything_runs(table: dict[str, Any], words: str) -> None:
    with pytest.raises(HarnessError) as raised:
        planned(**table)
    assert str(raised.value).startswith("table 't'")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"where": {"model": "Vit"}}, "where: no cell has model = 'Vit'; did you mean 'ViT'"),
        ({"where": {"dataset": ["digits", "digts"]}}, "no cell has dataset = 'digts'; did you mean 'digits'"),
        ({"where": {"tag.model.famly": "main"}}, "no cell has the tag 'tag.model.famly'; did you mean"),
        (
            {"where": {"tag.model.family": "mian"}},
            "no cell has tag.model.family = 'mian'; did you mean 'main'",
        ),
        ({"where": {"seed": 7}}, "no cell has seed = 7"),
        ({"values": ["top1s"]}, "nothing is known to be called 'top1s'; did you mean 'top1'"),
        ({"baseline": {"model": "Vit"}}, "baseline: no model is called 'Vit'; did you mean 'ViT'"),
        (
            {"summary": "gap", "baseline": {"model": "ViT"}},
            "'baseline' has no effect in a table of a summary",
        ),
        ({"summary": "gap", "rows": ["modle"]}, "'modle' may be a typo; did you mean 'model'"),
    ],
)
def test_what_may_become_right_is_told_by_the_plan(table: dict[str, Any], words: str) -> None:
    (said,) = planned(**table).remarks
    assert said.startswith("table 't'")
    assert words in said


def test_plots_are_checked_too() -> None:
    with pytest.raises(SuiteError, match="plot 'p': no plot plugin named 'curvs'; did you mean 'curves'"):
        planned(plots=[{"name": "p", "kind": "curvs"}])
    with pytest.raises(SuiteError, match="plot 'p', where: no coordinate or tag is called 'modle'"):
        planned(plots=[{"name": "p", "kind": "bars", "where": {"modle": "x"}}])
    (said,) = planned(plots=[{"name": "p", "kind": "bars", "where": {"model": "Vit"}}]).remarks
    assert "did you mean 'ViT'" in said
    assert planned(plots=[{"name": "p", "kind": "bars", "where": {"status": "ok"}}]).remarks == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["model", "dataset", "seed", "experiment"]), st.integers(0, 9), st.data())
def test_a_misspelt_coordinate_never_passes(name: str, at: int, data: st.DataObject) -> None:
    at %= len(name)
    kind = data.draw(st.sampled_from(["drop", "double", "swap"]))
    other = {
        "drop": name[:at] + name[at + 1 :],
        "double": name[: at + 1] + name[at:],
        "swap": name[:at] + name[at : at + 2][::-1] + name[at + 2 :],
    }[kind]
    for key in ("rows", "columns"):
        if other == name:
            assert planned(**{key: [other]}).remarks == []
        else:
            with pytest.raises(SuiteError, match=f"called '{other}'"):
                planned(**{key: [other]})


def test_the_shipped_suites_raise_no_doubt() -> None:
    for plugin in registry.installed("suites"):
        assert make_plan(load_suite_file(plugin.name)).doubts == [], plugin.name


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one model of the suite."""
    path = tmp_path_factory.mktemp("store")
    suite = {**SUITE, "tables": [{"name": "a", "where": {"seed": 0}}, {"name": "b", "where": {"seed": 1}}]}
    harness.run(suite, store=path, limit=16, models=["ViT"])
    return path


def test_a_choice_that_nothing_meets_is_no_empty_table(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for where, words in (
        ("model=Vit", "--where model=Vit: no cell of suite 's' has it; did you mean 'ViT'?"),
        ("modle=ViT", "--where modle: no coordinate or tag is called so; did you mean 'model'?"),
        ("seed=3", "--where seed=3: no cell of suite 's' has it; known: 0, 1"),
    ):
        assert main(["table", "s", "--store", str(store), "--where", where]) == 2
        assert capsys.readouterr().err.strip() == f"harness: {words}"
    with pytest.raises(SuiteError, match="did you mean 'ViT'"):
        harness.table("s", store=store, where={"model": "Vit"})
    # the suite has this one, though nobody has run it
    assert main(["table", "s", "--store", str(store), "--where", "model=ResNet"]) == 0
    assert "no cell of these records meets the `where` of any table (a, b)" in capsys.readouterr().out
    assert main(["table", "s", "--store", str(store), "--where", "seed=1"]) == 0
    assert "digits" in capsys.readouterr().out


def test_an_unknown_suite_has_no_empty_frame(store: Path) -> None:
    with pytest.raises(SuiteError, match="no records of suite 'z'; known: s"):
        harness.load("z", store=store)
    assert "remarks" in harness.load("s", store=store)
