"""Every message for a wrong plugin, option, suite key, capability or version: it names the culprit and the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.contract.declared import API_VERSION
from harness.discovery.registry import Plugin
from harness.discovery.versions import OLDEST_API, explain_misfit
from harness.errors import HarnessError
from harness.planning.plan import Choice, make_plan
from harness.planning.suite import parse_suite

SUITE = {
    "name": "mine",
    "protocol": "classification",
    "models": ["tiny-resnet?trained_on=digits"],
    "datasets": ["digits"],
    "metrics": ["top1"],
}
TUNING: dict[str, Any] = {"protocol": {"plugin": "finetuning", "steps": 2}}
FEW: dict[str, Any] = {"protocol": "few-shot", "models": ["tiny-clip"]}


@dataclass(frozen=True)
class Case:
    """What is wrong with a suite; what the message names as the culprit, and as the way out."""

    change: Mapping[str, Any]
    culprit: str
    way_out: str
    where: str = "suite mine"
    choice: Choice | None = None


MODEL = "models: model 'tiny-resnet': "
PLUGINS = {
    "model": Case({"models": ["tiny-resent"]}, "no model plugin named 'tiny-resent'", "did you mean 'tiny-resnet'?"),
    "data set": Case({"datasets": ["digit"]}, "no data set plugin named 'digit'", "did you mean 'digits'?"),
    "metric": Case({"metrics": ["top-1"]}, "no metric plugin named 'top-1'", "did you mean 'top1'?"),
    "method": Case({**TUNING, "methods": ["lroa"]}, "no method plugin named 'lroa'", "did you mean 'lora'?"),
    "protocol": Case({"protocol": "clasification"}, "no protocol plugin named", "did you mean 'classification'?"),
    "nothing near": Case({"models": ["qqqqqqqq"]}, "no model plugin named 'qqqqqqqq'", "known: "),
    "distribution": Case(
        {"models": ["acme/tiny-resnet"]}, "no distribution 'acme' offers", "it comes from vision-harness"
    ),
    "inside another": Case(
        {"datasets": [{"plugin": "corrupted", "dataset": "digitss", "corruption": "fog"}]},
        "data set 'corrupted': option 'dataset': no data set plugin named 'digitss'", "did you mean 'digits'?",
    ),
    "no name": Case({"models": [""]}, "models.0: ''", "expected a plugin name, such as 'timm:resnet50'"),
    "no plugin": Case({"models": [{"label": "x"}]}, "models.0", "or a table with plugin = \"…\""),
    "a number": Case({"models": [3]}, "models.0", "expected 'plugin:value' or a table", "mine.toml"),
    "no protocol": Case({"protocol": None}, "needs a protocol", "known: answering"),
    "no data": Case({"datasets": []}, "no cells", "name at least one data set"),
    "chosen model": Case({}, "no model 'tiny-resent'", "did you mean 'tiny-resnet'?", choice=Choice(models=["tiny-resent"])),
    "added metric": Case({}, "no metric 'top-1'", "did you mean 'top1'?", choice=Choice(add_metrics=["top-1"])),
    "experiment": Case({}, "no experiment 'main'", "did you mean 'mine'?", choice=Choice(experiments=["main"])),
}  # fmt: skip
OPTIONS = {
    "name": Case({"models": ["tiny-resnet?widht=3"]}, MODEL + "unknown option 'widht'", "did you mean 'width'?"),
    "name in a grid": Case(
        {"models": [{"plugin": "tiny-resnet", "grid": {"widht": [1]}}]}, "unknown option 'widht'", "'width'?"
    ),
    "none taken": Case({"metrics": ["top1?k=1"]}, "metric 'top1': unknown option 'k'", "it takes no options"),
    "value not taken": Case({"metrics": ["top1:3"]}, "metric 'top1'", "nothing can follow the colon (found '3')"),
    "type": Case({"models": ["tiny-resnet?width=big"]}, MODEL + "option 'width'", "must be int, found 'big'"),
    "choice": Case(
        {"models": ["tiny-resnet?trained_on=digit"]}, MODEL + "option 'trained_on'",
        "must be 'scenes' | 'digits', found 'digit'; did you mean 'digits'?",
    ),
    "range": Case({"models": ["tiny-resnet?width=0"]}, MODEL, "width must be at least 1, not 0"),
    "metric's range": Case({"metrics": ["topk?k=0"]}, "metric 'topk'", "k must be at least 1, got 0"),
    "protocol's": Case({"protocol": "classification?splitt=test"}, "unknown option 'splitt'", "'split'?"),
    "missing": Case({"datasets": ["imagefolder"]}, "data set 'imagefolder'", "needs the option 'path' (Path)"),
    "missing plugin": Case(
        {"protocol": "gan", "models": ["gan-mlp"], "methods": ["gan"], "metrics": []},
        "method 'gan'", "needs the option 'loss' (method)",
    ),
    "unknown choice": Case(
        {"datasets": [{"plugin": "corrupted", "dataset": "digits", "corruption": "fogg"}]},
        "data set 'corrupted'", "did you mean 'fog'?",
    ),
    "of a nested one": Case(
        {"datasets": [{"plugin": "corrupted", "dataset": "digits?x=1", "corruption": "fog"}]},
        "option 'dataset': data set 'digits': unknown option 'x'", "it takes no options",
    ),
    "short form": Case({"models": ["tiny-resnet?width"]}, "models.0: 'tiny-resnet?width'", "expected option=value"),
    "empty grid": Case({"models": [{"plugin": "timm", "grid": {"name": []}}]}, "models.0", "a table of non-empty lists"),
    "architecture": Case({"models": ["timm:resnet5"]}, "timm has no architecture 'resnet5'", "'resnet50'?"),
}  # fmt: skip
KEYS = {
    **{
        wrong: Case({wrong: []}, f"unknown key '{wrong}'", f"did you mean '{right}'?", "mine.toml")
        for wrong, right in {"modles": "models", "tabels": "tables", "seed": "seeds", "axis": "axes"}.items()
    },
    "in a table": Case({"tables": [{"name": "a", "row": []}]}, "'tables.0.row'", "did you mean 'rows'?", "mine.toml"),
    "in an experiment": Case(
        {"experiments": [{"name": "a", "dataset": []}]}, "'experiments.0.dataset'", "'datasets'?", "mine.toml"
    ),
    "in an exclusion": Case({"exclude": [{"models": "x"}]}, "'exclude.0.models'", "'model'?", "mine.toml"),
    "in a plot": Case({"plots": [{"name": "a", "kind": "b", "wher": {}}]}, "'plots.0.wher'", "'where'?", "mine.toml"),
    "no list": Case({"models": "timm"}, "models", "expected a list, such as ['timm'], found 'timm'", "mine.toml"),
    "seeds": Case({"seeds": ["a"]}, "seeds.0", "a valid integer", "mine.toml"),
    "precision": Case({"precision": "float8"}, "precision", "'float32', 'bfloat16' or 'float16'", "mine.toml"),
    "limit": Case({"limit": 0}, "limit", "greater than or equal to 1, found 0", "mine.toml"),
    "name": Case({"name": "a/b"}, "name: expected letters, digits", "found 'a/b'", "mine.toml"),
    "axis": Case({"axes": {"shots": [1]}}, "'classification' has no axis 'shots'", "leave it out"),
    "near axis": Case({**TUNING, "methods": ["lora"], "axes": {"shot": [1]}}, "no axis 'shot'", "did you mean 'shots'?"),
    "axis value": Case(
        {**TUNING, "methods": ["lora"], "axes": {"shots": [float("nan")]}}, "axis 'shots'", "finite numbers"
    ),
}  # fmt: skip
CAPABILITIES = {
    "takes no method": Case({"methods": ["lora"]}, "'lora'", "leave `methods` out"),
    "can't classify": Case({"models": ["gan-mlp"]}, "the model 'gan-mlp'", "choose one that does"),
    "other labels": Case(
        {"models": ["tiny-resnet"]}, "the model 'tiny-resnet' answers in the label space 'scenes'", "choose a model for"
    ),
    "needs a method": Case(TUNING, "'finetuning' needs a method", "name one under `methods`"),
    "wrong method": Case({**TUNING, "methods": ["coop"]}, "the method 'coop'", "choose one that has, such as lora"),
    "needs image and text": Case({**TUNING, "methods": ["clip-lora"]}, "the method 'clip-lora'", "such as tiny-clip"),
    "no training split": Case(
        {**TUNING, "methods": ["lora"], "datasets": ["scenes?shift=sketch"]},
        "the data set 'scenes' has no split 'train'", "to fine-tune on",
    ),
    "no shots": Case({**FEW, "methods": ["coop"]}, "the method 'coop' needs shots", "give the axis `shots`"),
    "wrong shots": Case({**TUNING, "methods": ["lora"], "axes": {"shots": [0]}}, "not 0", "a positive whole number or 'all'"),
    "no prompt method": Case({**FEW, "methods": ["lora"]}, "method 'lora'", "needs a prompt method: name one"),
    "no texts": Case(
        {**FEW, "models": ["tiny-resnet"], "methods": ["template"]}, "the model 'tiny-resnet'", "choose one that does"
    ),
    "evidence": Case(
        {"metrics": ["kid"]}, "metric 'kid' reads GeneratedSamples", "or use a protocol that provides GeneratedSamples"
    ),
    "data not here": Case({"datasets": ["imagefolder:/no/such"]}, "/no/such: no such folder", "expected one with"),
}  # fmt: skip


def said(case: Case) -> str:
    """The error of the plan, or why its only cell is skipped."""
    try:
        plan = make_plan(parse_suite({**SUITE, **case.change}, "mine.toml"), case.choice)
    except HarnessError as error:
        text = str(error)
        assert text.startswith(case.where), text
        return text
    (planned,) = plan
    assert planned.state == "skipped"
    return str(planned.reason)


def one_line(text: str, case: Case) -> None:
    assert case.culprit in text
    assert case.way_out in text
    assert "\n" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("case", PLUGINS.values(), ids=PLUGINS)
def test_wrong_plugins(case: Case) -> None:
    one_line(said(case), case)


@pytest.mark.parametrize("case", OPTIONS.values(), ids=OPTIONS)
def test_wrong_options(case: Case) -> None:
    one_line(said(case), case)


@pytest.mark.parametrize("case", KEYS.values(), ids=KEYS)
def test_wrong_suite_keys(case: Case) -> None:
    one_line(said(case), case)


@pytest.mark.parametrize("case", CAPABILITIES.values(), ids=CAPABILITIES)
def test_wrong_capabilities(case: Case) -> None:
    one_line(said(case), case)


PLUGIN = Plugin("models", "net", "acme:Net", "acme", "1.5")


@pytest.mark.parametrize(
    ("states", "culprit", "way_out"),
    [
        (
            API_VERSION + 1,
            f"is written for plugin API {API_VERSION + 1}, this harness has {API_VERSION}",
            "upgrade vision-harness, or use an older acme",
        ),
        (
            OLDEST_API - 1,
            f"is written for plugin API {OLDEST_API - 1}, this harness needs {OLDEST_API} or newer",
            "upgrade acme, or use an older vision-harness",
        ),
        ("2.0", "harness_api must be a whole number", "found '2.0'"),
        (None, "harness_api must be a whole number", "found None"),
    ],
)  # fmt: skip
def test_wrong_versions_of_the_contract(states: object, culprit: str, way_out: str) -> None:
    text = explain_misfit(PLUGIN, type("Net", (), {"harness_api": states}))
    assert text is not None
    assert text.startswith("model 'net' of acme 1.5")
    assert culprit in text
    assert way_out in text


@pytest.mark.parametrize("states", [{}, {"harness_api": OLDEST_API}, {"harness_api": API_VERSION}])
def test_versions_that_fit(states: dict[str, int]) -> None:
    assert explain_misfit(PLUGIN, type("Net", (), states)) is None


def test_both_ends_of_a_span_of_versions() -> None:
    """When there are several, as there is one today."""
    fits = [
        explain_misfit(PLUGIN, type("Net", (), {"harness_api": n}), oldest=2, newest=4) is None
        for n in range(1, 6)
    ]
    assert fits == [False, True, True, True, False]


CODE = """
class Future:
    harness_api = 99
    def load(self, device): ...
class Past:
    harness_api = 0
    def load(self, device): ...
class Hollow: ...
class Falls:
    def __init__(self): raise RuntimeError("no licence")
    def load(self, device): ...
"""
BROKEN = {
    "future": ("is written for plugin API 99, this harness has 1", "upgrade vision-harness, or use an older acme-nets"),
    "past": ("is written for plugin API 0", "upgrade acme-nets, or use an older vision-harness"),
    "hollow": ("nets_code:Hollow has no method 'load'", "which the contract asks for"),
    "gone": ("can't be imported: AttributeError", "harness doctor shows where"),
    "nowhere": ("can't be imported: ModuleNotFoundError: No module named 'no_such_nets'", "harness doctor"),
    "falls": ("can't be constructed: RuntimeError", "no licence"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugins(install: Callable[..., Path], name: str) -> None:
    targets = {
        "future": "nets_code:Future", "past": "nets_code:Past", "hollow": "nets_code:Hollow",
        "gone": "nets_code:Gone", "nowhere": "no_such_nets:Net", "falls": "nets_code:Falls",
    }  # fmt: skip
    install("acme-nets", {"harness.models": targets}, {"nets_code": CODE})
    (planned,) = make_plan(parse_suite({**SUITE, "models": [name]}))
    culprit, way_out = BROKEN[name]
    assert planned.state == "broken"
    text = str(planned.reason)
    assert text.startswith(f"model '{name}' of acme-nets")
    assert culprit in text
    assert way_out in text


def test_a_name_that_two_distributions_claim(install: Callable[..., Path]) -> None:
    for name in ("acme-nets", "other-nets"):
        install(name, {"harness.models": {"twice": "nets_code:Future"}}, {"nets_code": CODE})
    with pytest.raises(HarnessError) as caught:
        make_plan(parse_suite({**SUITE, "models": ["twice"]}))
    assert str(caught.value) == (
        "suite mine, models: the model name 'twice' is claimed twice: say 'acme-nets/twice' or 'other-nets/twice'"
    )


COMMANDS = {
    "command": (["rnu"], "no command 'rnu'", "did you mean 'run'?"),
    "suite": (["run", "robustnes"], "no suite plugin named 'robustnes'", "did you mean 'robustness'?"),
    "suite file": (["run", "mine.toml"], "mine.toml", "no such suite file"),
    "set": (["plan", "robustness", "--set", "limt"], "--set limt", "expected key=value"),
    "set a key": (["plan", "robustness", "--set", "axis.shots=1"], "unknown key 'axis'", "did you mean 'axes'?"),
    "seeds": (["plan", "robustness", "--seeds", "a"], "--seeds a", "expected whole numbers separated by commas"),
    "list": (["list", "modls"], "no kind of plugin is called 'modls'", "did you mean 'models'?"),
    "info": (["info", "tiny-resent"], "no plugin or suite named 'tiny-resent'", "did you mean 'tiny-resnet'?"),
    "info kind": (["info", "top1", "--kind", "metrc"], "--kind metrc", "did you mean 'metric"),
    "new": (["new", "modle", "my-net"], "no kind 'modle'", "did you mean 'model'?"),
    "part of the cache": (["cache", "clear", "--part", "featurs"], "no part 'featurs'", "there are none"),
    "executor": (["run", "robustness", "--executor", "inlin"], "no executor plugin named", "did you mean 'inline'?"),
    "listener": (["run", "robustness", "--listen", "tensorbord"], "no listener plugin", "did you mean 'tensorboard'?"),
    "format": (["run", "robustness", "--format", "latx"], "latx", "did you mean 'latex'?"),
    "no records": (["table", "robustness"], "no records of suite 'robustness'", "run it first, with `harness run robustness`"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_commands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, culprit, way_out = COMMANDS[name]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("harness: ")
    assert culprit in line
    assert way_out in line


def test_a_folder_with_other_things_is_not_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    for part in ("features", "thesis"):
        (tmp_path / part).mkdir()
    (tmp_path / "mail").touch()
    assert main(["cache", "clear"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "such as mail" in line
    assert "--part NAME" in line
    assert main(["cache", "clear", "--part", "features"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mail", "thesis"]
    (tmp_path / "mail").unlink()
    assert main(["cache", "clear"]) == 0
    assert not list(tmp_path.iterdir())
