"""The command line: every command as text and JSON, wrong input in one line, exit statuses, lazy imports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.discovery import registry
from harness.records.store import Store

SUITE = """
name = "small"
title = "A small suite"
metrics = ["top1", "acme-margin"]

[[experiments]]
name = "images"
protocol = "classification"
models = [
  { plugin = "acme-linear", label = "linear" },
  { plugin = "acme-linear", label = "linear, other seed", seed = 1 },
]
datasets = [{ plugin = "acme-stripes", label = "stripes" }, { plugin = "acme-stripes", label = "few", count = 9 }]

[[experiments]]
name = "slow"
protocol = "acme-slow"
datasets = [{ plugin = "acme-stripes", label = "any" }]
axes = { point = [0, 1] }
seeds = [0, 1]

[[tables]]
name = "images"
rows = ["model"]
columns = ["dataset"]
values = ["top1"]
where = { experiment = "images" }

[[tables]]
name = "slow"
rows = ["point"]
columns = ["metric"]
values = ["right", "loss"]
where = { experiment = "slow" }
"""


@pytest.fixture
def folder(built: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with the suite `small.toml`, and the third party's plugins installed."""
    monkeypatch.syspath_prepend(str(built["good"]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    registry.refresh()
    (tmp_path / "small.toml").write_text(SUITE)
    yield tmp_path
    monkeypatch.undo()
    registry.refresh()


Answer = Callable[..., Any]


@pytest.fixture
def answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> Answer:
    """Runs a command with `--json` and gives what it answered; its exit status must be `status`."""

    def run(*arguments: str, status: int = 0) -> Any:
        capsys.readouterr()
        assert main([*arguments, "--json"]) == status
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def text(folder: Path, capsys: pytest.CaptureFixture[str]) -> Answer:
    """Runs a command and gives its standard output."""

    def run(*arguments: str, status: int = 0) -> str:
        capsys.readouterr()
        assert main(list(arguments)) == status
        return capsys.readouterr().out

    return run


def ran(answered: Any) -> dict[str, int]:
    return answered[0]["ran"]


# ---------------------------------------------------------------- run, plan, table


def test_run_then_plan_then_table(answer: Answer, text: Answer) -> None:
    before = answer("plan", "small.toml")[0]
    assert before["counts"] == {"run": 8}
    assert "8 cells: 8 to run" in text("plan", "small.toml")
    first = answer("run", "small.toml")
    assert ran(first) == {"ok": 8}
    assert {t["name"] for t in first[0]["tables"]} == {"images", "slow"}
    assert answer("plan", "small.toml")[0]["counts"] == {"done": 8}
    assert answer("plan", "small.toml", "--fresh")[0]["counts"] == {"run": 8}
    assert {c["id"] for c in before["cells"]} == set(Store("results/store").listing())
    assert "done" in text("plan", "small.toml", "--all")

    assert answer("table", "small") == first[0]["tables"]
    shown = text("table", "small", "--table", "slow")
    assert "right" in shown
    assert "stripes" not in shown


def test_run_shows_tables_and_progress(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "small.toml", "--format", "markdown"]) == 0
    said = capsys.readouterr()
    assert "| linear" in said.out
    assert "small: 8 cells to run" in said.err
    assert "[8/8]" in said.err
    assert main(["run", "small.toml", "--quiet"]) == 0
    assert not capsys.readouterr().err


def test_fresh_runs_everything_again(answer: Answer) -> None:
    first = answer("run", "small.toml")
    stamps = Store("results/store").listing()
    assert ran(answer("run", "small.toml")) == {}
    assert Store("results/store").listing() == stamps
    again = answer("run", "small.toml", "--fresh")
    assert ran(again) == {"ok": 8}
    renewed = Store("results/store").listing()
    assert renewed.keys() == stamps.keys()
    assert all(renewed[id][0] > stamps[id][0] for id in stamps)
    assert again[0]["tables"] == first[0]["tables"]


def test_seeds_set_and_store(answer: Answer) -> None:
    slow = ("run", "small.toml", "--experiment", "slow")
    assert ran(answer(*slow, "--seeds", "5,6,7", "--store", "elsewhere")) == {"ok": 6}
    assert {r.coordinates["seed"] for r in Store("elsewhere").records()} == {5, 6, 7}
    assert not Path("results/store").exists()
    assert ran(answer(*slow, "--set", "experiments.slow.axes.point=[4,5,6]", "--store", "third")) == {"ok": 6}
    assert {r.coordinates["point"] for r in Store("third").records()} == {4, 5, 6}


def test_limit_takes_the_same_samples_for_every_model(answer: Answer) -> None:
    answer("run", "small.toml", "--experiment", "images", "--limit", "5")
    store = Store("results/store")
    records = list(store.records())
    assert [r.count for r in records] == [5] * 4
    ids = {}
    for r in records:
        ids.setdefault(r.coordinates["dataset"], set()).add(tuple(store.samples(r.id)["id"]))
    assert {name: len(drawn) for name, drawn in ids.items()} == {"stripes": 1, "few": 1}
    # a run on all samples is another cell, not a part that is already done
    assert ran(answer("run", "small.toml", "--experiment", "images")) == {"ok": 4}


def test_model_by_pattern_by_label_and_new(answer: Answer) -> None:
    def models(*more: str) -> list[str]:
        plan = answer("plan", "small.toml", "--experiment", "images", "--dataset", "few", *more)[0]
        return [c["model"] for c in plan["cells"]]

    assert models() == ["linear", "linear, other seed"]
    assert models("--model", "linear") == ["linear"]
    assert models("--model", "*other*") == ["linear, other seed"]
    assert models("--model", "acme-linear:9.5") == ["9.5"]
    assert models("--add-model", "acme-linear:9.5") == ["linear", "linear, other seed", "9.5"]
    assert models("--model", "linear", "--add-model", "acme-linear?seed=7") == ["linear", "acme-linear"]


def test_narrowing_to_what_one_experiment_has(answer: Answer) -> None:
    cells = answer("plan", "small.toml", "--dataset", "few")[0]["cells"]
    assert {(c["experiment"], c["dataset"]) for c in cells} == {("images", "few")}
    cells = answer("plan", "small.toml", "--model", "linear")[0]["cells"]
    assert {c["experiment"] for c in cells} == {"images"}


def test_narrowed_run_keeps_the_rest_of_the_table(answer: Answer) -> None:
    answer("run", "small.toml")
    answer("run", "small.toml", "--model", "linear", "--fresh", "--experiment", "images")
    table = answer("table", "small", "--table", "images")[0]
    assert [r["header"] for r in table["rows"]] == [["linear"], ["linear, other seed"]]


def test_metric_and_add_metric(answer: Answer) -> None:
    only = ("run", "small.toml", "--model", "linear", "--experiment", "images")
    answer(*only, "--metric", "top1", "--store", "one")
    assert {tuple(sorted(r.metrics)) for r in Store("one").records()} == {("top1",)}
    answer(*only, "--add-metric", "nll", "--store", "two")
    assert {tuple(sorted(r.metrics)) for r in Store("two").records()} == {("acme-margin", "nll", "top1")}


@pytest.mark.parametrize(
    ("format", "holds"),
    [("markdown", "| "), ("csv", ","), ("latex", r"\toprule"), ("html", "<table"), ("terminal", "stripes")],
)
def test_table_formats(answer: Answer, text: Answer, format: str, holds: str) -> None:
    answer("run", "small.toml", "--experiment", "images")
    assert holds in text("table", "small", "--table", "images", "--format", format)
    assert text("table", "small", "--table", "images", "--format", format, "--out", "out.txt") == ""
    assert holds in Path("out.txt").read_text()


def test_table_layout_from_the_command_line(answer: Answer) -> None:
    answer("run", "small.toml")
    (table,) = answer(
        "table", "small", "--rows", "dataset", "--columns", "model", "--value", "acme-margin",
        "--where", "experiment=images", "--baseline", "model=linear",
    )  # fmt: skip
    assert [r["header"] for r in table["rows"]] == [["stripes"], ["few"]]
    assert [c["kind"] for c in table["columns"]] == ["value", "value", "delta"]
    first = table["rows"][0]["entries"]
    assert first[2]["value"] == pytest.approx(first[1]["value"] - first[0]["value"])


# ---------------------------------------------------------------- exit statuses


def test_failing_cell_gives_status_1_and_leaves_the_rest(
    folder: Path, answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    fails = (
        "run",
        "small.toml",
        "--experiment",
        "slow",
        "--set",
        'experiments.slow.protocol={plugin="acme-slow",fail_at=1}',
    )
    assert ran(answer(*fails, status=1)) == {"ok": 2, "failed": 2}
    assert main(list(fails)) == 1  # failed cells are tried again
    said = capsys.readouterr()
    told = [line for line in said.err.splitlines() if line.startswith("harness: failed")]
    assert len(told) == 2
    assert all(line.endswith("ValueError: point 1 can't be") for line in told)
    assert "Traceback" not in said.err
    failed = [r for r in Store("results/store").records() if r.status == "failed"]
    assert all("slow.py" in (r.traceback or "") for r in failed)


# ---------------------------------------------------------------- the other commands


def test_list(answer: Answer, text: Answer) -> None:
    listed = answer("list")
    assert set(listed) == set(registry.KINDS)
    assert {"name", "distribution", "version", "target"} == set(listed["models"][0])
    assert list(answer("list", "model")) == ["models"]
    shown = text("list", "metrics")
    assert "top1" in shown
    assert "acme-margin" in shown


def test_info(answer: Answer, text: Answer) -> None:
    (facts,) = answer("info", "tiny-vit")
    assert facts["kind"] == "models"
    assert {o["name"] for o in facts["options"]} >= {"steps", "seed"}
    assert "tiny-vit (model)" in text("info", "tiny-vit")
    assert "harness run robustness" in text("info", "robustness")
    assert {f["kind"] for f in answer("info", "torchvision")} == {"models", "datasets"}
    assert [f["kind"] for f in answer("info", "torchvision", "--kind", "datasets")] == ["datasets"]


def test_schema(answer: Answer, text: Answer) -> None:
    schema = answer("schema")
    assert {"name", "protocol", "models", "datasets", "tables"} <= set(schema["properties"])
    assert schema == json.loads(text("schema"))


def test_cache(answer: Answer, text: Answer, folder: Path) -> None:
    answer("run", "small.toml", "--experiment", "images")
    shown = answer("cache", "show")
    assert shown["parts"]["features"] > 0
    assert "features" in text("cache")
    assert answer("cache", "clear", "--part", "features", "--older-than", "1")["freed"] == 0
    assert answer("cache", "clear", "--part", "features")["freed"] == shown["parts"]["features"]
    assert answer("cache")["parts"] == {}
    assert ran(answer("run", "small.toml", "--experiment", "images", "--fresh")) == {"ok": 4}


def test_doctor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert "acme-vision" in facts["distributions"]
    assert facts["environment"]["libraries"]["torch"]
    main(["doctor"])
    said = capsys.readouterr().out
    assert "devices:" in said
    assert "cpu (" in said


def test_doctor_says_that_the_cache_can_not_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_text("")
    for place, unwritable in (("file/cache", True), ("new/cache", False)):
        monkeypatch.setenv("HARNESS_CACHE", str(folder / place))
        main(["doctor"])
        assert (f"{place}, 0 B, can't be written\n" in capsys.readouterr().out) is unwritable
    assert not (folder / "new").exists()


@pytest.mark.parametrize("wrong", ["x", "1.5", "", "0"])
def test_a_limit_that_is_no_number_gets_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    with pytest.raises(SystemExit):
        main(["run", "small.toml", "--limit", wrong])
    said = capsys.readouterr().err.splitlines()[-1]
    assert "argument --limit: expected" in said
    assert said.endswith(f"found {wrong}" if wrong == "0" else f"found {wrong!r}")


def test_version_and_help(text: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli import COMMANDS

    assert text("--version").strip().count(".") == 2
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            main([command, "--help"])
        assert stopped.value.code == 0
        assert f"harness {command}" in capsys.readouterr().out


# ---------------------------------------------------------------- wrong input


WRONG = [
    (["rum"], "did you mean 'run'"),
    (["run", "smal"], "no suite plugin named 'smal'"),
    (["run", "small2.toml"], "no such suite file"),
    (["run", "bad.toml"], "not valid TOML"),
    (["run", "latin.toml"], "not UTF-8"),
    (["run", "small.toml", "--set", "nmae=1"], "unknown key 'nmae'; did you mean 'name'?"),
    (["run", "small.toml", "--set", "axes"], "expected key=value"),
    (["run", "small.toml", "--set", "precision=float8"], "precision"),
    (["run", "small.toml", "--set", "experiments.sloww.seeds=[1]"], "did you mean 'slow'"),
    (["run", "small.toml", "--set", "experiments.slow.axes.point=3"], "found 3"),
    (["run", "small.toml", "--seeds", "a,b"], "expected whole numbers"),
    (["run", "small.toml", "--experiment", "slwo"], "did you mean 'slow'"),
    (["run", "small.toml", "--model", "liner"], "did you mean 'linear'"),
    (["run", "small.toml", "--add-model", "acme-linaer"], "did you mean 'acme-linear'"),
    (["run", "small.toml", "--add-model", "acme-linear?sede=3"], "did you mean 'seed'"),
    (["run", "small.toml", "--add-model", "acme-linear?scale=big"], "scale"),
    (["run", "small.toml", "--add-model", "acme-linear?scale"], "expected option=value"),
    (["run", "small.toml", "--add-model", ":x"], "expected a plugin name"),
    (["run", "small.toml", "--add-model", "nobody/acme-linear"], "comes from acme-vision"),
    (["run", "small.toml", "--dataset", "stirpes"], "did you mean 'stripes'"),
    (["run", "small.toml", "--metric", "top-1"], "did you mean 'top1'"),
    (["run", "small.toml", "--method", "coopp"], "method"),
    (["run", "small.toml", "--executor", "inlin"], "did you mean 'inline'"),
    (["run", "small.toml", "--executor", "processes:0"], "at least 1"),
    (["run", "small.toml", "--executor", "processes:many"], "count"),
    (["run", "small.toml", "--device", "abacus"], "no such device"),
    (["run", "small.toml", "--data-root", "nowhere"], "no such folder"),
    (["run", "small.toml", "--store", "small.toml"], "not a folder"),
    (["run", "small.toml", "--format", "word"], "word"),
    (["plan", "empty.toml"], "needs a protocol"),
    (["plan", "nothing.toml"], "name"),
    (["plan", "twice.toml"], "give each a label of its own"),
    (["plan", "axis.toml"], "has no axis 'shots'"),
    (["table", "small"], "no records"),
    (["table"], "no records yet"),
    (["info", "tiny-vti"], "did you mean 'tiny-vit'"),
    (["info", "tiny-vit", "--kind", "metricks"], "did you mean 'metrics'"),
    (["list", "modles"], "did you mean 'models'"),
]  # fmt: skip

FILES = {
    "bad.toml": b"name = ",
    "latin.toml": "name = 'é'".encode("latin-1"),
    "empty.toml": b'name = "empty"',
    "nothing.toml": b"",
    "twice.toml": b'name = "t"\nprotocol = "classification"\n'
    b'models = [{plugin = "acme-linear", label = "a"}, {plugin = "acme-linear?seed=1", label = "a"}]\n'
    b'datasets = ["acme-stripes"]\nmetrics = ["top1"]\n',
    "axis.toml": b'name = "t"\nprotocol = "classification"\nmodels = ["acme-linear"]\ndatasets = ["acme-stripes"]\n'
    b"axes = { shots = [1] }\n",
}


@pytest.mark.parametrize(("arguments", "part"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_wrong_input_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out
    (line,) = said.err.splitlines()
    assert line.startswith("harness: ")
    assert part in line
    assert "Traceback" not in line
    assert main([*arguments, "--json"]) == 2
    said = capsys.readouterr()
    if arguments != ["rum"]:
        assert json.loads(said.out) == {"error": line.removeprefix("harness: ")}


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "small.toml", "--limit", "0"],
        ["run", "small.toml", "--batch-size", "many"],
        ["run", "small.toml", "--precision", "float8"],
        ["table", "--delta", "cubic"],
        ["cache", "burn"],
        ["--wrong"],
    ],
)
def test_wrong_options_are_told_with_the_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    *usage, line = capsys.readouterr().err.splitlines()
    assert usage[0].startswith("usage: harness")
    assert "error: " in line


def test_no_command_shows_the_help(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().out


# ---------------------------------------------------------------- what is imported

HEAVY = ("torch", "torchvision", "timm", "open_clip", "sklearn", "scipy", "matplotlib", "transformers")
PROBE = """
import json, sys
from harness.cli import main
try:
    status = main(json.loads(sys.argv[1]))
except SystemExit as stop:
    status = stop.code
print(json.dumps({"status": status, "modules": sorted({m.partition(".")[0] for m in sys.modules})}))
"""


def imported(folder: Path, env: dict[str, str], *arguments: str) -> set[str]:
    """The packages that a command has imported by its end, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(arguments)],
        capture_output=True, text=True, timeout=60, check=True, cwd=folder, env=env,
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == 0
    return set(told["modules"])


def test_help_and_list_import_next_to_nothing(folder: Path, installed: dict[str, str]) -> None:
    for arguments in (["--help"], ["list"], ["list", "--json"], ["--version"]):
        modules = imported(folder, installed, *arguments)
        unwanted = {*HEAVY, "pandas", "numpy", "pyarrow", "pydantic", "rich", "acme_vision"}
        assert not modules & unwanted, arguments
        assert not {m for m in modules if m.startswith("harness_")}, arguments


def test_plan_imports_no_framework(folder: Path, installed: dict[str, str]) -> None:
    assert not imported(folder, installed, "plan", "small.toml") & set(HEAVY)
    assert not imported(folder, installed, "plan", "robustness") & set(HEAVY)


def test_table_imports_no_framework_and_no_plugin_that_makes_records(
    folder: Path, installed: dict[str, str], answer: Answer
) -> None:
    answer("run", "small.toml")
    modules = imported(folder, installed, "table", "small")
    assert not modules & {"torch", "torchvision", "timm", "open_clip", "acme_vision", "harness_timm"}
