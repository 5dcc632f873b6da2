"""Plans: cells, excludes and includes, axes, skips, broken plugins, choices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.contract.evidence import Predictions
from harness.errors import OptionError, PluginNotFound, SuiteError
from harness.planning.patterns import matches
from harness.planning.plan import Choice, Plan, make_plan
from harness.planning.suite import parse_suite

BASE: dict[str, Any] = {
    "name": "s",
    "protocol": "toy",
    "models": ["toy"],
    "datasets": ["toy"],
    "metrics": ["toy"],
}


def plan(choice: Choice | None = None, done: set[str] | None = None, **changes: Any) -> Plan:
    return make_plan(parse_suite({**BASE, **changes}), choice, done or set())


def test_the_grid_is_the_product_and_models_stand_together(toys: Any) -> None:
    made = plan(
        models=["toy", {"plugin": "toy", "label": "b", "bias": 0.1}],
        datasets=["toy", "toy:other"],
        axes={"shots": [1, 2, 4]},
        seeds=[0, 1],
    )
    assert len(made) == 2 * 2 * 3 * 2
    labels = [p.cell.model.label for p in made if p.cell.model]
    assert labels == ["toy"] * 12 + ["b"] * 12
    assert made.cells[0].cell.coordinates == {
        "experiment": "s", "protocol": "toy", "model": "toy", "dataset": "toy", "method": "", "shots": 1, "seed": 0,
    }  # fmt: skip
    assert len({p.cell.id for p in made}) == len(made)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"model": "a*"}, 4),
        ({"model": ["a1", "b*"]}, 4),
        ({"seed": 1}, 6),
        ({"seed": [0, 1]}, 0),
        ({"model": "a1", "seed": 1}, 10),
        ({"axes": {"shots": 2}}, 6),
        ({"axes": {"shots": [1, 2]}, "dataset": "t*"}, 0),
        ({"axes": {"model.family": "x"}}, 4),
        ({"experiment": "other"}, 12),
        ({"model": "A1"}, 12),
    ],
)
def test_exclusions(toys: Any, rule: dict[str, Any], left: int) -> None:
    models = [
        {"plugin": "toy", "label": "a1", "bias": 0.1, "tags": {"family": "x"}},
        {"plugin": "toy", "label": "a[2]", "bias": 0.2, "tags": {"family": "x"}},
        {"plugin": "toy", "label": "b", "bias": 0.3},
    ]
    grid = {"models": models, "axes": {"shots": [1, 2]}, "seeds": [0, 1], "exclude": [rule]}
    extra = {"include": [{"model": "toy?bias=0.9", "seeds": [7], "axes": {"shots": 9}}]}
    assert len(plan(**grid, **extra)) == left + 1


def test_inclusions_fill_what_they_leave_out(toys: Any) -> None:
    made = plan(
        datasets=["toy", "toy:b"],
        axes={"shots": [1, 2]},
        include=[
            {"axes": {"shots": 16}, "dataset": "toy:c"},
            {"model": {"plugin": "toy", "grid": {"bias": [0.1, 0.2]}}},
        ],
    )
    added = [p.cell.coordinates for p in made][4:]
    assert [(c["model"], c["dataset"], c["shots"]) for c in added[:1]] == [("toy", "c", 16)]
    assert len(added) == 1 + 2 * 2 * 2
    assert plan(include=[{}]).counts() == {"run": 1}


def test_axes_must_be_the_protocols(toys: Any) -> None:
    with pytest.raises(
        SuiteError, match=r"^suite s: protocol 'toy' has no axis 'shot'; did you mean 'shots'"
    ):
        plan(axes={"shot": [1]})
    with pytest.raises(SuiteError, match=r"^suite s, experiment e: protocol 'toy' has no axis 'x'"):
        plan(experiments=[{"name": "e", "axes": {"x": [1]}}])
    with pytest.raises(SuiteError, match=r"axis 'shots'.*nan"):
        plan(axes={"shots": [1.0, float("nan")]})
    import datetime

    with pytest.raises(SuiteError, match="axis 'shots'"):
        plan(axes={"shots": [datetime.date(2020, 1, 1)]})


def test_states_and_reasons(toys: Any) -> None:
    models = ["toy", {"plugin": "toy", "mode": "away", "label": "away"}]
    made = plan(models=models, protocol={"plugin": "toy", "refuse": "16"}, axes={"shots": ["16", "4"]})
    found = {(p.cell.model.label, p.cell.axes["shots"]): (p.state, p.reason) for p in made if p.cell.model}
    assert found == {
        ("toy", "16"): ("skipped", "refused by the protocol (here: model 'toy')"),
        ("toy", "4"): ("run", None),
        ("away", "16"): ("skipped", "the weights are not here: fetch them"),
        ("away", "4"): ("skipped", "the weights are not here: fetch them"),
    }
    assert made.counts() == {"skipped": 3, "run": 1}
    again = plan(models=models, done={p.cell.id for p in made if p.state == "run"}, axes={"shots": ["4"]},
                 protocol={"plugin": "toy", "refuse": "16"})  # fmt: skip
    assert [p.state for p in again] == ["done", "skipped"]


def test_a_broken_plugin_only_affects_its_cells(install: Callable[..., Path], toys: Any) -> None:
    install("half", {"harness.models": {"bad": "bad_code:Net"}}, {"bad_code": "1 / 0\n"})

    class Raises(toys.Protocol):
        def cannot(self, model: Any, *rest: Any) -> str | None:
            return str({}["no such key"]) if model.bias else None

    harness.register("protocols", "raises", Raises)
    made = plan(models=["toy", "bad"])
    assert [p.state for p in made] == ["run", "broken"]
    assert "'bad' of half 1.0 can't be imported: ZeroDivisionError" in str(made.cells[1].reason)
    made = plan(models=["toy", {"plugin": "toy", "bias": 0.1, "label": "b"}], protocol="raises")
    assert [p.state for p in made] == ["run", "broken"]
    assert "protocol 'raises' of (this process) failed at planning: KeyError" in str(made.cells[1].reason)


def test_another_api_version_is_said(toys: Any) -> None:
    class Newer(toys.Model):
        harness_api = 2

    harness.register("models", "newer", Newer)
    made = plan(models=["newer", "toy"])
    assert [p.state for p in made] == ["broken", "run"]
    assert "written for plugin API 2, this harness has 1: upgrade vision-harness" in str(made.cells[0].reason)


def test_two_entries_of_one_label_are_refused(toys: Any) -> None:
    with pytest.raises(SuiteError, match=r"^suite s, models: 2 entries are called 'a': give each a label"):
        plan(models=[{"plugin": "toy", "label": "a"}, {"plugin": "toy?bias=0.1", "label": "a"}])
    assert len(plan(models=["toy", "toy"])) == 1
    made = plan(models=["toy", "toy?bias=0.1"])
    assert [p.cell.coordinates["model"] for p in made] == ["toy", "toy (bias=0.1)"]


class Reads:
    higher_is_better = True

    def __call__(self, evidence: Predictions) -> float:
        return 0.0


def test_metrics_must_read_what_the_protocol_gives(toys: Any) -> None:
    class Gives(toys.Protocol):
        provides = (toys.Data,)

    harness.register("metrics", "reads", Reads)
    harness.register("protocols", "gives", Gives)
    with pytest.raises(
        SuiteError, match="metric 'reads' reads Predictions, protocol 'gives' provides ToyData"
    ):
        plan(metrics=["reads"], protocol="gives")
    assert len(plan(metrics=["reads"])) == 1


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"protocol": None}, SuiteError, "suite s: needs a protocol"),
        ({"models": []}, SuiteError, "suite s: no cells"),
        ({"datasets": []}, SuiteError, "suite s: no cells"),
        (
            {"models": ["toi"]},
            PluginNotFound,
            "suite s, models: no model plugin named 'toi'; did you mean 'toy'",
        ),
        ({"metrics": ["toy?a=1"]}, OptionError, "suite s, metrics: metric 'toy': unknown option 'a'"),
        ({"models": [{"plugin": "toy", "grid": {"x": []}}]}, SuiteError, "suite s, models.0: grid must be"),
        ({"axes": {"shots": []}}, SuiteError, "suite s: axis 'shots': expected at least one value"),
        ({"exclude": [{}], "seeds": [0, 1]}, SuiteError, "suite s: no cells: `exclude` takes out all 2"),
        (
            {"axes": {"shots": [1]}, "exclude": [{}, {"axes": {"shot": 1}}]},
            SuiteError,
            "suite s, exclude.1: no axis 'shot'; did you mean 'shots'",
        ),
        (
            {"experiments": [{"name": "e", "seeds": [0]}, {"name": "e", "seeds": [1]}]},
            SuiteError,
            "suite s: 2 experiments are called 'e'",
        ),
    ],
)
def test_what_can_not_be_a_plan(
    toys: Any, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"^{words}"):
        plan(**changes)


def test_choices_narrow_and_add(toys: Any) -> None:
    models = ["toy", {"plugin": "toy", "label": "big one", "bias": 0.2}]
    whole = {"models": models, "seeds": [0, 1], "include": [{"dataset": "toy:c"}]}
    assert len(plan(Choice(models=["big*"]), **whole)) == 2
    assert len(plan(Choice(seeds=[5]), **whole)) == 2
    assert len(plan(Choice(add_models=["toy?bias=0.3&mode=huge"]), **{**whole, "models": models[1:]})) == 8
    (one,) = plan(Choice(models=["toy"], seeds=[1], precision="bfloat16", limit=3), **whole)
    assert (one.cell.precision, one.cell.limit, one.cell.seed) == ("bfloat16", 3, 1)
    assert len(plan(Choice(metrics=["toy"]), **whole)) == len(plan(**whole)) == 8
    experiments = {"experiments": [{"name": "e", **whole}, {"name": "other"}], "models": ["toy"]}
    assert len(plan(Choice(experiments=["e"]), **experiments)) == 8
    with pytest.raises(SuiteError, match="no model 'big two'; did you mean 'big one'"):
        plan(Choice(models=["big two"]), **whole)
    with pytest.raises(SuiteError, match="no experiment 'x'"):
        plan(Choice(experiments=["x"]), **whole)


def test_matching() -> None:
    assert matches("a*", "abc")
    assert matches("a[1]", "a[1]")
    assert matches(["x", 3], 3)
    assert not matches("3", None)
    assert not matches(3, "3")


def test_planning_is_linear_in_the_cells(toys: Any, effort: Callable[[Callable[[], object]], int]) -> None:
    grid = {"models": [{"plugin": "toy", "grid": {"bias": [n / 100 for n in range(100)]}}]}
    made: list[Plan] = []
    plan(**grid)  # discovery and imports are not what is counted
    few = effort(lambda: made.append(plan(**grid, seeds=list(range(5)))))
    many = effort(lambda: made.append(plan(**grid, seeds=list(range(50)))))
    assert [len(each) for each in made] == [500, 5000]
    # tests/benchmarks holds the time itself
    assert many < 11 * few
