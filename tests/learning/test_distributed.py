"""Trainings by two processes: the numbers of one, each sample evaluated once, and one error when a process dies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import Diverged, OptionError
from harness.learning.distributed import share_rows
from harness.learning.processes import ProcessFailed, run_distributed

sys.path.insert(0, str(Path(__file__).parent / "processes"))  # so that the processes can import it, too

from two_ranks import RECIPES, Trained, build, die, everything, train_alone, train_sent


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = run_distributed(
        2, everything, tmp_path_factory.mktemp("shared"), device="cpu", timeout=60
    )
    return found


def check_same(found: Trained, expected: Trained) -> None:
    for name, tensor in expected.state.items():
        np.testing.assert_allclose(found.state[name], tensor, 1e-6, 1e-9, err_msg=name)
    np.testing.assert_allclose(found.outcome.losses, expected.outcome.losses, rtol=1e-6)
    assert found.outcome.scores.keys() == expected.outcome.scores.keys()
    for step, value in expected.outcome.scores.items():
        assert found.outcome.scores[step] == pytest.approx(value, rel=1e-7)
    assert found.outcome.best_step == expected.outcome.best_step


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_are_one(together: dict[str, Any], name: str) -> None:
    check_same(together[name], train_alone(RECIPES[name]))


def test_a_network_that_was_sent_is_not_updated_by_both() -> None:
    found = run_distributed(2, train_sent, build(), device="cpu", timeout=60)
    for name, tensor in train_alone(RECIPES["sgd"]).state.items():
        np.testing.assert_allclose(found[name], tensor, 1e-6, 1e-9, err_msg=name)


def test_a_killed_training_continues_and_one_process_may_finish_it(together: dict[str, Any]) -> None:
    assert together["files"] == ["training.safetensors"]
    check_same(together["continued"], together["adam"])


def test_each_sample_is_evaluated_once_and_in_order(together: dict[str, Any]) -> None:
    assert together["seven"].tolist() == [[n, 10 * n] for n in range(7)]
    assert together["own"] == [0, 1, 2, 3]
    assert together["one"].tolist() == [8]


def test_what_would_part_the_processes_is_refused(together: dict[str, Any]) -> None:
    assert "the processes see different checkpoints" in together["checkpoints"]
    assert "say bfloat16" in together["float16"]


@given(count=st.integers(0, 40), world=st.integers(1, 9))
def test_shares_follow_each_other_and_are_nearly_equal(count: int, world: int) -> None:
    rows = np.random.default_rng(count).permutation(count)
    shares = [share_rows(rows, rank, world) for rank in range(world)]
    np.testing.assert_array_equal(np.concatenate(shares), rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("killed", ProcessFailed, "process 1 of 2 was killed by SIGKILL"),
        ("diverged", Diverged, "the loss is nan at step 3 of 9"),
    ],
)
def test_one_error_says_which_process_failed(how: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        run_distributed(2, die, how, device="cpu", timeout=60)
    assert str(caught.value) == said


def test_processes_that_can_not_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="at least 1 process, not 0"):
        run_distributed(0, die, "killed")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(OptionError, match="2 processes need as many GPUs, and 1 can be used"):
        run_distributed(2, die, "killed", device="cuda")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(OptionError, match="2 processes asked for, but torchrun has started 4"):
        run_distributed(2, die, "killed", device="cpu")
