"""Plain functions as plugins: what a decorated one is to the harness, and what is said of a bare one."""

from __future__ import annotations

import functools
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.cli import main
from harness.contract.evidence import Predictions
from harness.discovery import registry
from harness.discovery.decorated import make_instance
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_short
from harness.errors import DataError, OptionError, PluginBroken
from harness.planning.evidence_matching import find_evidence_classes
from harness.running.hooks import Listeners

PACKAGE = '''
"""Plugins that are functions."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import harness
import numpy as np
from harness import Predictions

if TYPE_CHECKING:
    import pandas as pd
    from harness import Cell, Record


@harness.metric(higher_is_better=True, bounds=(0, 1), unit="fraction", per_sample=True)
def within(predictions: Predictions, k: int = 2, *, ties: bool = False) -> np.ndarray:
    """Whether the target is among the k largest logits.

    Args:
        k: how many guesses count.
    """
    rows = np.arange(len(predictions))[:, None]
    own = predictions.logits[rows, predictions.targets[:, None]]
    found = (predictions.logits > own).sum(axis=1) < k
    return np.where(np.isnan(predictions.logits).any(axis=1), np.nan, found)


@harness.metric(higher_is_better=False)
def classes(predictions: Predictions) -> float:
    """How many classes there are."""
    return float(predictions.logits.shape[1])


@harness.summary(higher_is_better=True, unit="fraction")
def best(records: pd.DataFrame, of: str = "top1") -> pd.DataFrame:
    """The best value of each model."""
    made = records.groupby("model", sort=False)[of].max().reset_index(name="value")
    return made.assign(metric=f"best {of}")


@harness.listener("cell_finished", on_request=True)
def note(cell: Cell, record: Record, path: Path = Path("noted.txt")) -> None:
    """Append a line for each cell."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{cell.dataset.label} {record.status}\\\\n")


def bare(predictions: Predictions) -> float:
    return 0.5


def bare_summary(records: pd.DataFrame) -> pd.DataFrame:
    return records


def bare_listener(cell, record):
    return None


class Factored:
    higher_is_better = True

    def __call__(self, predictions: Predictions) -> float:
        return 1.0


def factory(k: int = 1) -> Factored:
    return Factored()
'''.replace("\\\\n", "\\n")

ENTRY_POINTS = """
[harness.metrics]
fp-within = function_plugins:within
fp-classes = function_plugins:classes
fp-bare = function_plugins:bare
fp-factory = function_plugins:factory
fp-wrong-group = function_plugins:best
[harness.summaries]
fp-best = function_plugins:best
fp-bare = function_plugins:bare_summary
[harness.hooks]
fp-note = function_plugins:note
fp-bare = function_plugins:bare_listener
"""

LOGITS = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
KNOWN = harness.Predictions(LOGITS, np.array([0, 1, 2]), ["a", "b", "c"])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An installed distribution whose entry points are functions, visible here and in worker processes."""
    site = tmp_path_factory.mktemp("site")
    (site / "function_plugins.py").write_text(PACKAGE)
    info = site / "function_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: function-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", str(site))
        registry.refresh()
        yield site
        sys.modules.pop("function_plugins", None)
    registry.refresh()


def resolve(kind: str, text: str) -> Any:
    part = Resolver().resolve(kind, parse_short(text), "test")
    assert part.problem is None, part.problem
    return part


def test_a_decorated_function_is_still_that_function(package: Path) -> None:
    import function_plugins  # type: ignore[import-not-found]

    assert function_plugins.within(KNOWN).tolist() == [1, 1, 0]
    assert function_plugins.within(KNOWN, k=1).tolist() == [1, 0, 0]
    assert function_plugins.classes(KNOWN) == 3.0


def test_its_further_parameters_are_options(package: Path) -> None:
    assert resolve("metrics", "fp-within").object(KNOWN) == pytest.approx(2 / 3)
    assert resolve("metrics", "fp-within?k=1").object(KNOWN) == pytest.approx(1 / 3)
    assert resolve("metrics", "fp-within:3").object(KNOWN) == 1.0
    assert resolve("metrics", "fp-within?k=1").identity != resolve("metrics", "fp-within").identity
    with pytest.raises(OptionError, match="option 'k' must be int, found 'many'"):
        resolve("metrics", "fp-within?k=many")
    with pytest.raises(OptionError, match="unknown option 'kk'; did you mean 'k'"):
        resolve("metrics", "fp-within?kk=1")


def test_its_facts_are_known_without_calling_it(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_evidence_classes(resolve("metrics", "fp-within").object) == (harness.Predictions,)
    assert main(["info", "fp-within", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["target"] == "function_plugins:within"
    assert [(o["name"], o["type"], o["default"], o["documentation"]) for o in facts["options"]] == [
        ("k", "int", 2, "how many guesses count."),
        ("ties", "bool", False, ""),
    ]
    assert facts["documentation"] == "Whether the target is among the k largest logits."
    assert facts["capabilities"] == [
        "reads Predictions", "higher is better", "from 0 to 1", "a value per sample",
    ]  # fmt: skip
    assert main(["info", "fp-note", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["capabilities"] == ["hears cell_finished"]
    assert [(o["name"], o["type"]) for o in facts["options"]] == [("path", "Path")]


@pytest.mark.parametrize("name", ["fp-within", "fp-classes", "fp-best", "fp-note"])
def test_it_passes_the_kit_or_is_caught(
    package: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    status = main(["check", name, "--json"])
    (verdict,) = json.loads(capsys.readouterr().out)
    failed = {c["check"] for c in verdict["checks"] if c["status"] == "fails"}
    # the number of classes has no direction: the kit says so, of a function as of a class
    assert failed == ({"direction"} if name == "fp-classes" else set()), verdict
    assert status == int(bool(failed))


def test_values_per_sample_average_to_the_metric(package: Path) -> None:
    made = resolve("metrics", "fp-within").object
    assert made.per_sample(KNOWN).tolist() == [1, 1, 0]
    assert made.higher_is_better is True
    assert made.unit == "fraction"


def test_what_means_nothing_is_refused_in_words(package: Path) -> None:
    made = resolve("metrics", "fp-within").object
    with pytest.raises(DataError, match="within: there are no samples"):
        made(harness.Predictions(LOGITS[:0], np.array([], int), []))
    holed = LOGITS.copy()
    holed[1, 0] = np.nan
    with pytest.raises(DataError, match=r"not finite for 1 of 3 samples \(nan for sample 1\)"):
        made(harness.Predictions(holed, KNOWN.targets, KNOWN.ids))

    @harness.metric(higher_is_better=True, per_sample=True)
    def one_number(predictions: harness.Predictions) -> float:
        return 0.5

    with pytest.raises(DataError, match=r"expected one value for each sample, found the shape \(\)"):
        make_instance(one_number)(KNOWN)


def test_an_instance_travels_to_another_process(package: Path) -> None:
    made = resolve("metrics", "fp-within?k=1").object
    code = (
        "import pickle, sys; m = pickle.load(sys.stdin.buffer); print(m.options, m.plugin_function.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(made), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == "{'k': 1, 'ties': False} within"


def test_its_code_is_its_identity(package: Path) -> None:
    def variant(exponent: int) -> str:
        @harness.metric(higher_is_better=True)
        def power(predictions: harness.Predictions) -> float:
            return float(len(predictions)) ** exponent

        with registry.register_temporarily("metrics", "fp-power", power):
            return str(resolve("metrics", "fp-power").identity)

    assert variant(2) == variant(2)
    assert variant(2) != variant(3)


def test_a_run_calls_metric_and_listener_in_this_process_and_in_workers(
    package: Path, tmp_path: Path
) -> None:
    suite = {
        "name": "functions",
        "protocol": "classification",
        "models": [{"plugin": "tiny-vit", "trained_on": "digits", "steps": 2}],
        "datasets": ["digits"],
        "metrics": ["top1", {"plugin": "fp-within", "k": 1, "label": "first"}],
        "tables": [{"name": "best", "summary": "fp-best", "columns": ["metric"]}],
    }
    found = []
    for executor in ("inline", "processes:1"):
        done = harness.run(
            suite, store=tmp_path / executor, executor=executor, device="cpu", limit=40,
            listeners=[f"fp-note?path={tmp_path / 'noted.txt'}"],
        )  # fmt: skip
        (record,) = done.records
        assert record.metrics["first"] == pytest.approx(record.metrics["top1"])
        assert done.tables()[0].rows[0].entries[0].value == pytest.approx(record.metrics["top1"])
        found.append(record.metrics["first"])
    assert found[0] == pytest.approx(found[1])
    assert (tmp_path / "noted.txt").read_text() == "digits ok\n" * 2


def test_a_listener_given_to_a_run_may_be_the_function() -> None:
    heard: list[tuple[int, int]] = []

    @harness.listener("cell_started")
    def count(total: int, position: int) -> None:
        heard.append((position, total))

    Listeners([count], installed=False).call("cell_started", cell=None, position=2, total=5)
    assert heard == [(2, 5)]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("metrics", "fp-bare", "function_plugins:bare is a plain function: put @harness.metric("),
        ("summaries", "fp-bare", "put @harness.summary() in front of it"),
        ("hooks", "fp-bare", 'put @harness.listener("cell_finished") in front of it'),
        ("metrics", "fp-wrong-group", "has the decorator @harness.summary, so it belongs to the group harness.summ"),
    ],
)  # fmt: skip
def test_a_bare_function_gets_a_line_with_the_remedy(package: Path, kind: str, name: str, said: str) -> None:
    with pytest.raises(PluginBroken) as found:
        registry.load(registry.find(kind, name))
    assert said in str(found.value)
    assert f"'{name}' of function-plugins 1.0" in str(found.value)
    assert "\n" not in str(found.value)


def test_a_factory_is_no_bare_function(package: Path) -> None:
    assert resolve("metrics", "fp-factory?k=2").object(KNOWN) == 1.0


def test_a_bare_function_is_refused_in_this_process_too() -> None:
    def rate(predictions: harness.Predictions) -> float:
        return 0.5

    with registry.register_temporarily("metrics", "fp-rate", rate):
        part = Resolver().resolve("metrics", parse_short("fp-rate"), "test")
    assert "is a plain function: put @harness.metric(" in str(part.problem)


def test_what_can_not_be_decorated_is_refused() -> None:
    with pytest.raises(OptionError, match="no event 'cell_finish'; did you mean 'cell_finished'"):
        harness.listener("cell_finish")
    with pytest.raises(OptionError, match="expected a function to decorate"):
        harness.metric(higher_is_better=True)(type("Some", (), {}))
    with pytest.raises(OptionError, match="a function whose first parameter takes the evidence"):
        harness.metric(higher_is_better=True)(lambda *, predictions: 0.5)
    with pytest.raises(OptionError, match="'others' can't be positional"):
        harness.metric(higher_is_better=True)(lambda predictions, *others: 0.5)
    with pytest.raises(OptionError, match=r"@harness\.metric\(higher_is_better=True\)"):
        harness.metric(lambda predictions: 0.5)  # without parentheses
    with pytest.raises(OptionError, match=r"@harness\.metric\(higher_is_better=True\)"):
        harness.metric(bounds=(0, 1))
    with pytest.raises(OptionError, match=r"bounds are \(lowest, highest\)"):
        harness.metric(higher_is_better=True, bounds=(1, 0))
    with pytest.raises(OptionError, match=r"@harness\.summary\(\), with parentheses"):
        harness.summary(lambda records: records)
    with pytest.raises(OptionError, match="a method can't be one"):
        harness.metric(higher_is_better=True)(lambda self, predictions: 0.5)

    async def later(predictions: Predictions) -> float:
        return 0.5

    with pytest.raises(OptionError, match="neither async nor a generator"):
        harness.metric(higher_is_better=True)(later)


@pytest.mark.parametrize(
    "value", [float("nan"), np.array(np.nan), np.float32("inf"), {"a": np.nan, "b": 1.0}]
)
def test_a_function_that_returns_no_finite_number_fails(value: Any) -> None:
    def broken(predictions: Predictions) -> Any:
        return value

    metric = make_instance(harness.metric(higher_is_better=True)(broken))
    with pytest.raises(DataError, match="not a finite number"):
        metric(Predictions(np.eye(2), np.arange(2), ["a", "b"]))


def test_a_partial_in_the_kit_is_the_function_with_options() -> None:
    from harness.testing import check

    @harness.metric(higher_is_better=True, bounds=(0.0, 1.0))
    def at_most(predictions: harness.Predictions, highest: float = 1.0) -> float:
        """The accuracy, cut."""
        return min(highest, float((predictions.predicted == predictions.targets).mean()))

    (known,) = (f for f in check("metrics", functools.partial(at_most, highest=0.5), examples=[(KNOWN, 1 / 3)])
                if f.check == "known values")  # fmt: skip
    assert known.status == "holds"
    (capped,) = (f for f in check("metrics", functools.partial(at_most, highest=0.1), examples=[(KNOWN, 0.1)])
                 if f.check == "known values")  # fmt: skip
    assert capped.status == "holds"
