"""Mixed precision: finite results, gradients on their own scale, the scaler in the checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness_gan.gan_checkpoints import read_checkpoint
from harness_gan.losses import WassersteinGP
from harness_gan.translation_training import CycleTraining, PairedTraining
from harness_generative.translation import CycleGAN, Pix2Pix, ResNetTranslator

HALVES = ["bfloat16", "float16"]


def test_mixed_precision_keeps_weights_in_float32(toy: Any, tmp_path: Path) -> None:
    plain = toy.run(tmp_path, seeds=[0], methods=toy.suite["methods"][:1])
    mixed = toy.run(tmp_path, seeds=[0], methods=toy.suite["methods"][:1], precision="bfloat16")
    assert plain.records[0].metrics != mixed.records[0].metrics
    for record in mixed.records:
        curve = mixed.store.curves(record.id)
        assert np.isfinite(curve["value"]).all()


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("loss", [None, WassersteinGP(0.1, 2)], ids=["non-saturating", "wasserstein-gp"])
def test_gradients_are_logged_on_their_own_scale(make_training: Any, loss: Any, precision: str) -> None:
    """float16's loss is scaled by 65536 before the backward pass; norms and weights must not show it."""
    plain, mixed = (make_training(loss, precision=p) for p in ("float32", precision))
    for training in (plain, mixed):
        for _ in range(3):
            training.run_round()
    ours, theirs = mixed.summarise_steps()[0], plain.summarise_steps()[0]
    for name in ("g_gradient", "d_gradient", "d_loss", "g_loss"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.1, abs=0.02)
    assert mixed.are_seeds_finite() == [True]
    for network in (mixed.generator, mixed.discriminator):
        assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("method", [CycleGAN(), Pix2Pix()], ids=["cyclegan", "pix2pix"])
def test_translations_train_in_half_precision(method: Any, precision: str) -> None:
    cls = CycleTraining if isinstance(method, CycleGAN) else PairedTraining
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, 8, 8, generator=generator) * 2 - 1 for _ in range(2))
    values = {}
    for p in ("float32", precision):
        training = cls(method, ResNetTranslator(4, 1, 1), 8, 0, 10, torch.device("cpu"), p)
        if precision == "float16" and p == precision:
            assert training.scalers[0].get_scale() == 65536
        for scaler in training.scalers:  # a scale at which no gradient of these overflows
            scaler.load_state_dict({**scaler.state_dict(), "scale": 256.0} if scaler.is_enabled() else {})
        for _ in range(3):
            values[p] = training.step(a, b)
        assert training.is_finite()
        assert bool(torch.isfinite(training.translate(a)).all())
    for name in ("g_loss", "d_loss", "d_real", "d_fake"):
        assert values[precision][name] == pytest.approx(values["float32"][name], rel=0.05, abs=0.02), name
    # early gradients of instance-normalised networks differ by some factor, but not by the scale of 256
    for name in ("g_gradient", "d_gradient"):
        assert 1 / 16 < values[precision][name] / values["float32"][name] < 16
    kept = training.state_dict()["scalers"]
    assert [s.get("scale") for s in kept] == [256.0 if precision == "float16" else None] * 2


class Stop:
    """Ends the run like a kill would, at a round."""

    @harness.hookimpl
    def cell_progress(self, done: int) -> None:
        if done == 10:
            raise KeyboardInterrupt


def test_the_scaler_is_in_the_checkpoint(toy: Any, tmp_path: Path) -> None:
    """A killed run continues with the scale and its count of good steps, to the same result."""
    changes = {"methods": toy.suite["methods"][:1], "seeds": [0], "precision": "float16"}
    whole = toy.run(tmp_path / "whole", **changes).records[0]
    with pytest.raises(KeyboardInterrupt):
        harness.run({**toy.suite, **changes}, store=tmp_path / "cut", device="cpu", listeners=[Stop()])
    (left,) = (tmp_path / "cut").rglob("training.safetensors")
    state = read_checkpoint(left.parent)
    assert state is not None
    kept = state["parts"]["d_scaler"]
    # eight steps: each was counted since the last overflow, or halved the scale
    halvings = math.log2(65536 / kept["scale"])
    assert 0 < kept["_growth_tracker"] + halvings <= 8
    assert toy.run(tmp_path / "cut", **changes).records[0].metrics == whole.metrics
