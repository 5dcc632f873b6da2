"""Weights that are trained once; checkpoints on disk."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import DataError
from harness.learning.checkpoints import (
    load_checkpoint_tensors,
    read_checkpoint_tree,
    read_tensors,
    save_checkpoint_tree,
    save_tensors,
    trained_state,
)
from harness.learning.trained_once import train_once


def test_a_network_is_trained_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, calls = tmp_path / "sub" / "net.safetensors", list[int]()

    def fill(network: nn.Linear) -> None:
        assert torch.get_num_threads() == 1
        calls.append(1)
        nn.init.constant_(network.weight, len(calls))

    for expected in (1, 1):
        network = nn.Linear(2, 2)
        train_once(network, path, fill)
        assert network.weight.unique().tolist() == [expected]
    for broken in (b"", b"x" * 100):
        path.write_bytes(broken)
        with caplog.at_level(logging.WARNING):
            train_once(network, path, fill)
        assert "can't be used" in caplog.text
    train_once(nn.Linear(3, 2), path, fill)  # what does not fit is trained again, too
    assert len(calls) == 4


def test_a_training_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(network: nn.Module) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        train_once(nn.Linear(2, 2), tmp_path / "net.safetensors", fail)
    assert not (tmp_path / "net.safetensors").exists()


def test_a_cache_that_can_not_be_written_keeps_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    calls = list[int]()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            train_once(nn.Linear(2, 2), tmp_path / "file" / "net.safetensors", lambda _: calls.append(1))
    assert len(calls) == 2
    (said,) = caplog.messages
    assert said.startswith(f"cache {tmp_path / 'file'}: can't be written")
    assert said.endswith("name another with $HARNESS_CACHE")


def test_trees_come_back_as_they_were(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    tree: dict[Any, Any] = {
        "tensors": [shared, shared[:2], torch.tensor(3, dtype=torch.int64), torch.zeros(0, 2)],
        3: (1, "a", None, True, {"x": 2.5}),
        "losses": [0.1, float("nan"), float("inf")],
        "betas": (0.9, 0.999),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    save_checkpoint_tree(tmp_path / "tree.safetensors", tree)
    found = read_checkpoint_tree(tmp_path / "tree.safetensors")
    assert list(found) == list(tree)
    assert found[3] == tree[3]
    assert str(found["losses"]) == str(tree["losses"])
    assert found["betas"] == tree["betas"]
    for a, b in zip([*found["tensors"], found["half"]], [*tree["tensors"], tree["half"]], strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


@pytest.mark.parametrize("content", [None, b"", b"\0" * 50])
def test_trees_that_can_not_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tree.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert read_checkpoint_tree(path) is None


def test_stored_tensors_go_into_a_network_that_fits(tmp_path: Path) -> None:
    first, second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    first.weight.requires_grad_(False)
    first(torch.randn(5, 3))
    state = trained_state(first)
    assert set(state) == {"bias", "running_mean", "running_var", "num_batches_tracked"}
    path = tmp_path / "net.safetensors"
    assert save_tensors(path, state, {"rank": 4}) == path.stat().st_size
    load_checkpoint_tensors(path, second)
    assert torch.equal(second.running_mean, first.running_mean)  # type: ignore[arg-type]
    assert read_tensors(path)[1] == {"rank": 4}
    with pytest.raises(DataError, match=r"'bias' is \(3,\), the network has \(2,\)"):
        load_checkpoint_tensors(path, nn.BatchNorm1d(2))
    with pytest.raises(DataError, match="the network has nothing of that name"):
        load_checkpoint_tensors(path, nn.Linear(2, 2, bias=False))
    path.write_bytes(b"?")
    with pytest.raises(DataError, match="not a checkpoint that can be read"):
        load_checkpoint_tensors(path, second)
