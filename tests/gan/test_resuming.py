"""A killed GAN training continues to the same result, whoever it trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harness
import harness.api
from harness_gan.gan_checkpoints import read_checkpoint


class Stop:
    """Ends the run like a kill would, at a round."""

    def __init__(self, at: int) -> None:
        self.at = at

    @harness.hookimpl
    def cell_progress(self, done: int) -> None:
        if done == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("seeds_after", [[0, 1, 2], [1]])
def test_a_killed_run_continues_to_the_same_result(toy: Any, tmp_path: Path, seeds_after: list[int]) -> None:
    """Also when a seed goes on without those it trained with."""
    methods = toy.suite["methods"][1:]
    whole = toy.by_place(tmp_path / "whole", methods=methods)
    with pytest.raises(KeyboardInterrupt):
        harness.run(
            {**toy.suite, "methods": methods}, store=tmp_path / "cut", device="cpu", listeners=[Stop(10)]
        )
    left = list((tmp_path / "cut").rglob("training.safetensors"))
    assert len(left) == 3
    counts = [read_checkpoint(p.parent)["counts"]["rounds"] for p in left]
    assert counts == [8, 8, 8]
    again = toy.by_place(tmp_path / "cut", methods=methods, seeds=seeds_after)
    for place, record in again.items():
        if len(seeds_after) == 3:
            assert record.metrics == whole[place].metrics
        else:
            assert record.metrics == pytest.approx(whole[place].metrics, rel=1e-3, abs=1e-3)
    if len(seeds_after) == 3:
        assert not list((tmp_path / "cut").rglob("training.safetensors"))


def test_a_damaged_checkpoint_starts_the_seed_anew(toy: Any, tmp_path: Path) -> None:
    methods = toy.suite["methods"][:1]
    whole = toy.by_place(tmp_path / "whole", methods=methods, seeds=[0])
    suite = {**toy.suite, "methods": methods, "seeds": [0]}
    with pytest.raises(KeyboardInterrupt):
        harness.run(suite, store=tmp_path / "cut", device="cpu", listeners=[Stop(6)])
    next((tmp_path / "cut").rglob("training.safetensors")).write_bytes(b"not a checkpoint")
    again = toy.by_place(tmp_path / "cut", methods=methods, seeds=[0])
    assert again["NS", 0].metrics == whole["NS", 0].metrics
