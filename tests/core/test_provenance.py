"""Provenance names versions and machines, and neither a person nor a secret."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records import provenance


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--api-key", "s3cret"],
        ["run", "--api-key=s3cret"],
        ["run", "--set", "token=s3cret"],
        ["run", "--set=models.0.token=s3cret"],
        ["run", "--model", "huggingface:x?split=test&token=s3cret"],
        ["run", "--model", "huggingface:x?token=s3cret&split=test"],
        ["run", "--hub-password", "s3cret"],
        ["run", "HF_TOKEN=s3cret"],
        ["run", "--dataset", "https://user:s3cret@host/x.tar"],
    ],
)
def test_secrets_are_left_out(arguments: list[str]) -> None:
    shown = provenance.command_line(["/usr/local/bin/harness", *arguments, "--limit", "5"])
    assert "s3cret" not in shown
    assert "***" in shown
    assert shown.startswith("harness run")
    assert shown.endswith("--limit 5")


def test_the_home_folder_is_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    shown = provenance.command_line(
        ["/home/ada/bin/harness", "run", "--dataset", "imagefolder:/home/ada/pets"]
    )
    assert shown == "harness run --dataset imagefolder:~/pets"
    assert provenance.command_line([]) == ""


def test_what_a_record_says_of_its_making(toys: Any) -> None:
    suite = {"name": "s", "protocol": "toy", "models": ["toy"], "datasets": ["toy"]}
    (planned,) = make_plan(parse_suite(suite))
    facts = provenance.describe_run(planned.cell, "cpu", 64, 2)
    import numpy as np
    import torch

    assert facts["libraries"]["torch"] == torch.__version__.partition("+")[0] or torch.__version__
    assert facts["libraries"]["numpy"] == np.__version__
    assert facts["plugins"] == {"(this process)": "0"}
    assert (facts["batch_size"], facts["workers"]) == (64, 2)
    assert facts["device"]["type"] == "cpu"
    assert len(facts["environment"]) == 12
    text = json.dumps(facts)
    import getpass
    import socket

    assert socket.gethostname() not in text
    assert str(Path.home()) + "/" not in text
    assert f'"{getpass.getuser()}"' not in text
    assert facts["environment"] == provenance.describe_run(planned.cell, "cpu", 1, 0)["environment"]


def test_the_time_is_utc() -> None:
    assert provenance.now().endswith("+00:00")
