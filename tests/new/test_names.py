"""What `harness new` refuses, how it asks, and that it never overwrites."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.scaffold.names import GROUPS, LONGEST, PackageNames


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line with which the command refuses."""
    assert main(["new", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("harness: harness new: ")


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("modle", "my-net", "no kind 'modle'; did you mean 'model'?"),
        ("model", "MyNet", "such as 'my-net'; found 'MyNet'"),
        ("model", "my_net", "such as 'my-net'; found 'my_net'"),
        ("model", "2nd net", "such as 'nd-net'; found '2nd net'"),
        ("model", "../out", "such as 'out'; found '../out'"),
        ("model", "%%", "such as 'my-plugin'; found '%%'"),
        ("model", "a" * (LONGEST + 1), f"at most {LONGEST} letters; found {LONGEST + 1}"),
        ("model", "class", "'class' is Python's own name: choose another, such as 'my-class'"),
        ("model", "json", "'json' is Python's own name"),
        ("model", "tests", "'tests' is Python's own name"),
        ("model", "torch", "a package 'torch' is installed already: choose another name, such as 'my-torch'"),
        ("metric", "top1", "the metric name 'top1' is taken by vision-harness: choose another, such as 'my-top1'"),
        ("suite", "robustness", "the suite name 'robustness' is taken by vision-harness"),
    ],
)  # fmt: skip
def test_names_that_can_not_be(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, name: str, said: str
) -> None:
    assert said in refused(capsys, kind, name, "--out", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str], tmp_path: Path, there: str) -> None:
    place = tmp_path / "my-net"
    if there == "file":
        place.write_text("mine")
    elif there == "folder":
        place.mkdir()
        (place / "mine.txt").write_text("mine")
    else:
        place.symlink_to(tmp_path / "nowhere")
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    assert refused(capsys, "model", "my-net", "--out", tmp_path) == (
        f"{place} is there already, and nothing is overwritten: choose another name, or another place with --out"
    )
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


def test_a_place_that_can_not_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "can't be written" in refused(capsys, "model", "my-net", "--out", tmp_path / "file" / "below")
    assert "file: not a folder" in refused(capsys, "model", "my-net", "--out", tmp_path / "file")


def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = Path.write_text, []

    def fails(self: Path, *given: object, **more: object) -> int:
        written.append(self)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return real(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", fails)
    assert main(["new", "model", "my-net", "--out", str(tmp_path)]) == 2
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == []


def test_it_asks_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions: list[str] = []
    answers = iter(["metric", " sharpness "])
    monkeypatch.setattr("builtins.input", lambda question: (questions.append(question), next(answers))[1])
    assert "needs a kind, as in `harness new model my-net`" in refused(capsys, "--out", tmp_path)
    assert "needs a name" in refused(capsys, "model", "--out", tmp_path)
    assert questions == []
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    assert main(["new", "--out", str(tmp_path)]) == 0
    assert len(questions) == 2
    assert (tmp_path / "sharpness" / "sharpness" / "__init__.py").is_file()
    assert main(["new", "model", "my-net", "--out", str(tmp_path)]) == 0
    assert len(questions) == 2


def test_json_tells_what_was_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["new", "suite", "my-suite", "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == sorted(
        [
            "README.md", "my_suite/__init__.py", "my_suite/my-suite.toml", "my_suite/py.typed", "pyproject.toml",
            "tests/test_my_suite.py",
        ]
    )  # fmt: skip
    assert all((Path(told["folder"]) / name).is_file() for name in told["files"])


@pytest.mark.parametrize("kind", GROUPS)
def test_no_mark_is_left_and_the_readme_names_what_there_is(tmp_path: Path, kind: str) -> None:
    assert main(["new", kind, "my-thing", "--out", str(tmp_path)]) == 0
    for path in (tmp_path / "my-thing").rglob("*"):
        assert path.is_dir() or "{{" not in path.read_text()
    readme = (tmp_path / "my-thing" / "README.md").read_text()
    assert ("try.toml" in readme) == (tmp_path / "my-thing" / "try.toml").is_file()


def test_classes_that_would_hide_something_get_their_kind() -> None:
    assert PackageNames("model", "my-net-2").cls == "MyNet2"
    assert PackageNames("dataset", "sample").cls == "SampleDataset"
    assert PackageNames("metric", "predictions").cls == "PredictionsMetric"
    assert PackageNames("listener", "path").cls == "PathListener"


def test_templates_are_in_the_wheel() -> None:
    """Everything in a package's folder is shipped, unless git ignores it."""
    import subprocess

    root = Path(__file__).parents[2]
    templates = [str(p) for p in (root / "harness" / "scaffold" / "templates").rglob("*.txt")]
    assert len(templates) > 30
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    ignored = subprocess.run(["git", "check-ignore", *templates], cwd=root, capture_output=True, text=True)
    assert ignored.stdout == ""
