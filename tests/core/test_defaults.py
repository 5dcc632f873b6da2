"""`[defaults]` of suites: written once, the same as written in every entry."""

from typing import Any

import pytest

import harness
from harness.discovery import registry
from harness.errors import HarnessError
from harness.planning.plan import Choice, make_plan
from harness.planning.suite import json_schema, parse_suite

BASE: dict[str, Any] = {
    "name": "s",
    "protocol": "toy",
    "models": ["toy"],
    "datasets": ["toy"],
    "metrics": ["toy"],
}


def ids(choice: Choice | None = None, **changes: Any) -> list[str]:
    return [p.cell.id for p in make_plan(parse_suite({**BASE, **changes}), choice)]


def toy(**options: Any) -> dict[str, Any]:
    return {"plugin": "toy", **options}


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"defaults": {"models": {"toy": {"bias": 0.5}}}}, {"models": ["toy?bias=0.5"]}),
    ({"defaults": {"protocols": {"toy": {"strength": 2}}}}, {"protocol": "toy?strength=2"}),
    ({"defaults": {"datasets": {"toy": {"seed": 3}}}, "datasets": ["toy?seed=1"]}, {"datasets": ["toy?seed=1"]}),
    (
        {"defaults": {"models": {"toy": {"bias": 0.5}}}, "models": [toy(options={"bias": 0.1})]},
        {"models": ["toy?bias=0.1"]},
    ),
    ({"defaults": {"models": {"toy": {"bias": 0.5}}}, "models": [toy(defaults=False)]}, {"models": ["toy"]}),
    (
        {"defaults": {"models": {"toy": {"bias": 0.5}}}, "models": [toy(grid={"bias": [0.1, 0.2]})]},
        {"models": [toy(grid={"bias": [0.1, 0.2]})]},
    ),
    (
        {"defaults": {"models": {"toy": {"bias": 0.5}}}, "models": [], "experiments": [{"name": "e", "models": ["toy"]}]},
        {"models": ["toy?bias=0.5"]},
    ),
    (
        {"defaults": {"datasets": {"toy": {"seed": 4}}}, "include": [{"dataset": "toy", "seeds": [1]}]},
        {"datasets": ["toy?seed=4"], "include": [{"dataset": "toy?seed=4", "seeds": [1]}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("short", "written"), SAME)
def test_a_default_is_the_same_as_the_option_in_every_entry(
    toys: Any, short: dict[str, Any], written: dict[str, Any]
) -> None:
    assert ids(**short) == ids(**written)


def test_what_is_typed_takes_options_and_wins_over_them(toys: Any) -> None:
    defaults = {"models": {"toy": {"bias": 0.5, "label": "mine", "tags": {"a": 1}}}}
    (typed,) = make_plan(parse_suite({**BASE, "defaults": defaults}), Choice(models=["toy:huge"]))
    assert typed.cell.model is not None
    assert (typed.cell.model.label, typed.cell.tags) == ("huge", {})
    assert [typed.cell.id] == ids(models=["toy:huge?bias=0.5"])
    assert ids(Choice(models=["toy:huge?bias=0.1"]), defaults=defaults) == ids(models=["toy:huge?bias=0.1"])


def test_labels_and_tags_are_shared_as_well(toys: Any) -> None:
    models = ["toy", toy(bias=0.2, label="biased", tags={"b": 2})]
    defaults = {"models": {"toy": {"label": "T", "tags": {"a": 1, "b": 1}}}}
    suite = parse_suite({**BASE, "models": models, "defaults": defaults})
    one, other = [p.cell for p in make_plan(suite)]
    assert [c.coordinates["model"] for c in (one, other)] == ["T", "biased"]
    assert (one.tags, other.tags) == ({"model.a": 1, "model.b": 1}, {"model.a": 1, "model.b": 2})


def test_tables_are_completed_key_by_key_but_references_are_replaced() -> None:
    defaults = {"x": {"limits": {"low": 1, "high": 2}, "loss": {"plugin": "hinge", "weight": 3}}}
    entry = {"plugin": "x", "limits": {"high": 5}, "loss": {"plugin": "square"}}
    assert parse_suite({**BASE, "methods": [entry], "defaults": {"methods": defaults}}).methods == [
        {"plugin": "x", "limits": {"low": 1, "high": 5}, "loss": {"plugin": "square"}}
    ]


def test_tables_take_the_defaults_of_summaries() -> None:
    table = {"name": "t", "summary": {"plugin": "x", "b": 2}}
    suite = parse_suite({**BASE, "tables": [table], "defaults": {"summaries": {"x": {"a": 1, "b": 1}}}})
    assert suite.tables[0].summary == {"plugin": "x", "a": 1, "b": 2}


def test_a_completed_suite_is_read_again_as_it_is(toys: Any) -> None:
    defaults = {"models": {"toy": {"bias": 0.5, "tags": {"a": 1}}}}
    suite = parse_suite({**BASE, "models": ["toy?bias=0.1"], "defaults": defaults})
    assert parse_suite(suite.model_dump(mode="json")) == suite


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"models": {"toy": {"biass": 1}}}, "suite s, defaults.models.toy: unknown option 'biass'; did you mean 'bias'?"),
    ({"models": {"toy": {"bias": "x"}}}, "suite s, defaults.models.toy: option 'bias' must be float, found 'x'"),
    ({"models": {"toys": {}}}, "suite s, defaults.models.toys: no entry of the suite uses this model; did you mean 'toy'?"),
    (
        {"models": {"toy": {"grid": {}}}},
        "suite s, defaults.models.toy: 'grid' belongs to an entry: defaults hold options, label and tags",
    ),
    ({"models": {"toy": {"label": 3}}}, "suite s, defaults.models.toy: label must be a text, found 3"),
    ({"models": {"toy": {"tags": [3]}}}, "suite s, defaults.models.toy: tags must be a table, found [3]"),
    ({"model": {}}, "suite: unknown key 'defaults.model'; did you mean 'models'?"),
    ({"models": {"bias": 1}}, "suite: defaults.models.bias: expected a table, found 1"),
]  # fmt: skip


@pytest.mark.parametrize(("defaults", "message"), WRONG)
def test_what_is_wrong_is_said_in_one_line(toys: Any, defaults: dict[str, Any], message: str) -> None:
    with pytest.raises(HarnessError) as error:
        ids(defaults=defaults)
    assert str(error.value) == message


def test_only_a_truth_value_turns_them_off(toys: Any) -> None:
    with pytest.raises(HarnessError, match=r"models\.0: defaults must be true or false, found 'no'"):
        ids(models=[toy(defaults="no")])


def test_an_installed_plugin_that_no_entry_uses_is_a_doubt(toys: Any) -> None:
    with registry.register_temporarily("models", "idle", toys.Model):
        suite = parse_suite({**BASE, "defaults": {"models": {"idle": {"bias": 1}}}})
        assert make_plan(suite).doubts == [
            "suite s, defaults.models.idle: no entry of the suite uses this model; known: toy"
        ]
        assert make_plan(suite, Choice(add_models=["idle"])).doubts == []


def test_the_schema_names_the_kinds(toys: Any) -> None:
    kinds = set(json_schema()["$defs"]["Defaults"]["properties"])
    assert (
        kinds
        == {"protocols", "models", "datasets", "methods", "metrics", "summaries"}
        <= set(harness.discovery.registry.KINDS)
    )
