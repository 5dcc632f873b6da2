"""`harness check` and faulty suites: the verdict that a person reads, the JSON that a program reads, the exit status."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.discovery import registry
from harness.testing import check

SUITE = """
name = "kit"
title = "A small suite"
protocol = { plugin = "gan", steps = 2, batch_size = 8, samples = 20 }
models = ["gan-mlp"]
datasets = ["gaussian-mixture"]
methods = [{ plugin = "gan", loss = "hinge", label = "hinge" }]
metrics = ["modes"]

[[tables]]
name = "main"
rows = ["method"]
columns = ["dataset"]
values = ["modes", "healthy"]
"""


@pytest.fixture(autouse=True)
def plugins() -> Iterator[None]:
    from faulty_data import HashedFingerprint, Squares
    from faulty_metrics import Accuracy

    with (
        registry.register_temporarily("datasets", "kit-squares", Squares),
        registry.register_temporarily("datasets", "kit-faulty", HashedFingerprint),
        registry.register_temporarily("metrics", "kit-squares", Accuracy),
    ):
        yield


def test_verdict_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "kit-squares?count=9", "--kind", "datasets"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("kit-squares (data set) from (this process) 0\n  with count = 9\n")
    assert re.search(r"^  ok    processes$", told, re.MULTILINE)
    assert re.search(r"^  conforms: \d+ hold, 0 fail, 0 not checked$", told, re.MULTILINE)


def test_a_fault_gives_status_one_and_says_what_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "kit-faulty"]) == 1
    told = capsys.readouterr().out
    assert re.search(
        r"^  FAIL  processes\n +expected the fingerprint .* every cell would run again", told, re.MULTILINE
    )
    assert "does not conform" in told


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "kit-squares", "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)
    assert [v["kind"] for v in verdicts] == ["datasets", "metrics"]  # a name that two kinds have
    for verdict in verdicts:
        assert verdict["verdict"] == "holds"
        assert sum(verdict["counts"].values()) == len(verdict["checks"])
        assert {c["status"] for c in verdict["checks"]} <= {"holds", "not checked"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["kit-sqares"], "no plugin or suite named 'kit-sqares'; did you mean 'kit-squares'"),
        (["kit-squares", "--kind", "datsets"], "--kind datsets: no such kind; did you mean 'datasets'"),
        (["kit-squares?cout=3", "--kind", "dataset"], "unknown option 'cout'; did you mean 'count'"),
        (["imagefolder"], "needs the option 'path'"),
    ],
)
def test_wrong_use_gives_status_two(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *given]) == 2
    assert message in capsys.readouterr().err


def test_smallest_options_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "gan", "--kind", "methods", "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)
    assert verdict["options"]["loss"] == "non-saturating"


def test_suite_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kit.toml"
    path.write_text(SUITE)
    assert main(["check", str(path)]) == 0
    assert "conforms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "wanted", "message"),
    [
        ('title = "A small suite"', "", "file", "a `title`; found none"),
        (
            'name = "main"',
            'name = "main"\nrow = ["method"]',
            "file",
            "unknown key 'tables.0.row'; did you mean 'rows'",
        ),
        ('"gan-mlp"', '"gan-mpl"', "plan", "no model plugin named 'gan-mpl'"),
        ('rows = ["method"]', 'rows = ["methods"]', "tables", "'methods'; did you mean 'method'"),
        ('values = ["modes", "healthy"]', 'values = ["mode"]', "tables", "'mode' (meant 'modes'?)"),
        ('name = "main"', 'name = "main"\nwhere = { dataset = "ring" }', "tables", "some cell; found none"),
        (
            'name = "main"',
            'name = "main"\nbaseline = { method = "none" }',
            "tables",
            "the baseline of table 'main'",
        ),
        (
            'name = "main"',
            'name = "main"\nsummary = "gan-stabilty"',
            "tables",
            "did you mean 'gan-stability'",
        ),
        ("[[tables]]", '[[plots]]\nname = "p"\nkind = "barz"\n[[tables]]', "plots", "did you mean 'bars'"),
        ('name = "kit"', 'name = "kit"\nexecutor = "proceses"', "plots", "did you mean 'processes'"),
    ],
)
def test_faults_of_suites_are_found(old: str, new: str, wanted: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "kit.toml"
    assert old in SUITE
    path.write_text(SUITE.replace(old, new, 1))
    findings = {f.check: f for f in check("suites", path)}
    assert findings[wanted].status == "fails", findings
    assert message in findings[wanted].message
