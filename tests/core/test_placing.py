"""Relative paths in suite files: from the file's folder, and as before where only the current folder has them."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness
from harness.cli import main
from harness.contract.data import Dataset
from harness.planning import suite as suites

TEXT = """
name = "real"
protocol = "toy"
models = ["toy"]
datasets = [
  { plugin = "reads", label = "long", path = "data/a.txt" },
  { plugin = "reads:data/a.txt", label = "short" },
  { plugin = "around", label = "nested", inner = "reads:data/a.txt", more = ["reads:data/a.txt"], tables = { x = "data/a.txt" } },
]
"""


class Reads:
    """Tells what lies at its path."""

    splits = ("test",)

    def __init__(self, path: Path, count: int = 3) -> None:
        self.path = path

    def fingerprint(self) -> str:
        return self.path.read_text() if self.path.is_file() else "nothing"

    def load(self, split: str) -> Any:
        raise NotImplementedError


class Around:
    """Holds other data sets, and paths by name."""

    splits = ("test",)

    def __init__(
        self, inner: Dataset, more: list[Dataset] | None = None, tables: dict[str, Path] | None = None
    ) -> None:
        self.inner, self.more, self.tables = inner, more, tables

    def load(self, split: str) -> Any:
        raise NotImplementedError


@pytest.fixture
def file(toys: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite file in a folder of its own, called otherwise than the suite; the current folder is another."""
    harness.register("datasets", "reads", Reads)
    harness.register("datasets", "around", Around)
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "there" / "other-name.toml").write_text(TEXT)
    return tmp_path / "there" / "other-name.toml"


def lay(folder: Path, text: str) -> None:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "a.txt").write_text(text)


def read(plan: Any) -> list[str]:
    """What each data set reads, nested ones too."""
    found = []
    for planned in plan:
        part = planned.cell.dataset
        for one in (part, pickle.loads(pickle.dumps(part))):  # as a worker gets it
            assert one.identity == part.identity
            inside = one.object
            several = [inside.inner, *inside.more] if isinstance(inside, Around) else [inside]
            found += [each.fingerprint() for each in several]
            if isinstance(inside, Around):
                found.append(inside.tables["x"].read_text())
    return found


def test_they_count_from_the_files_folder(file: Path) -> None:
    lay(file.parent, "beside")
    for name in (file, Path("../there/other-name.toml")):
        plan = harness.plan(name)
        assert set(read(plan)) == {"beside"}
        assert not [text for text in plan.remarks if "data/a.txt" in text]


def test_what_only_the_current_folder_has_is_found_and_told(file: Path) -> None:
    lay(Path.cwd(), "current")
    plan = harness.plan(file)
    assert set(read(plan)) == {"current"}
    assert "long: 'data/a.txt' is in the current folder; beside the suite file" in plan.remarks[0]


def test_of_two_the_one_beside_the_file_is_taken_and_told(file: Path) -> None:
    lay(Path.cwd(), "current")
    lay(file.parent, "beside")
    plan = harness.plan(file)
    assert set(read(plan)) == {"beside"}
    assert "long: 'data/a.txt' is the one beside the suite file" in plan.remarks[0]


def test_ids_are_the_same_wherever_the_suite_lies(file: Path, tmp_path: Path) -> None:
    lay(file.parent, "content")
    ids = [p.cell.id for p in harness.plan(file)]
    lay(Path.cwd(), "content")
    copy = Path("copy.toml")
    copy.write_text(TEXT)
    assert [p.cell.id for p in harness.plan(copy)] == ids


def test_what_the_command_names_counts_from_the_current_folder(file: Path) -> None:
    lay(file.parent, "beside")
    lay(Path.cwd(), "current")
    plan = harness.plan(
        file, datasets=["reads:data/a.txt"]
    )  # what an entry of the suite says: it is meant, and told
    assert set(read(plan)) == {"beside"}
    assert "short: 'data/a.txt' is the one beside the suite file" in plan.remarks[0]
    plan = harness.plan(file, datasets=["reads:data/a.txt?count=5"])
    assert set(read(plan)) == {"current"}
    plan = harness.plan(file, datasets=["long"], add_datasets=["reads:data/a.txt?count=4"])
    assert read(plan) == ["beside"] * 2 + ["current"] * 2


def test_a_suite_file_is_known_by_the_name_in_it(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(TEXT.partition("datasets")[0] + 'datasets = ["toy:a"]')
    place = str(tmp_path / "store")
    assert main(["run", str(file), "--store", place, "--quiet"]) == 0
    for command in (
        ["table", str(file)],
        ["report", str(file), "--out", "page.html"],
        ["export", "--suite", str(file)],
    ):
        assert main([*command, "--store", place]) == 0
    assert main(["compare", place, place, "--suite", str(file)]) == 0
    assert len(harness.load(str(file), store=place)) == 1
    assert harness.table(str(file), store=place)[0].rows
    file.unlink()
    assert suites.find_suite_name("real.toml") == suites.find_suite_name("real") == "real"
    capsys.readouterr()


def test_a_run_in_which_nothing_can_run_ends_with_one(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = 'models = [{ plugin = "toy", mode = "away" }, { plugin = "toy", label = "x", mode = "away", bias = 1 }]\n'
    file.write_text(f'name = "real"\nprotocol = "toy"\n{away}datasets = ["toy:a"]')
    command = ["run", str(file), "--store", str(tmp_path / "store"), "--quiet"]
    assert main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "harness: suite real: none of 2 cells can run: 2 × the weights are not here: fetch them"
    assert main([*command, "--add-model", "toy:good"]) == 0  # something could
    assert main([*command, "--add-model", "toy:good"]) == 0  # and is done
