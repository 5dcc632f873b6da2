"""A stacked training that is killed continues to the same result, to the bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.learning.recipe import Recipe
from harness.learning.stacked import StackedBatch, train_stacked
from harness.learning.training_progress import DivergedTraining, TrainingOutcome
from tests.learning.test_stacked import SCRIPT, SEEDS, Images, explode, images, make_networks

__all__ = ["images"]


class Killed(Exception):
    """Stands for a kill."""


def run(
    images: Images, recipe: Recipe, folders: list[Path] | None, kill: int = -1, diverges: int = 99
) -> Any:
    networks = make_networks()
    objective = explode(1, diverges)

    def killed(forward: Any, batch: StackedBatch, step: int) -> torch.Tensor:
        if step == kill:
            raise Killed
        at["step"] = step + 1
        losses: torch.Tensor = objective(forward, batch, step)
        return losses

    at = {"step": 0}

    def validate(stack: Any, slices: list[int]) -> list[float]:
        return [SCRIPT[number][at["step"] // 2 - 1] for number in slices]

    outcomes = train_stacked(
        networks, [images.held()] * 3, killed, recipe, SEEDS,
        folders=folders, checkpoint_every=3, validate=validate,
    )  # fmt: skip
    return networks, outcomes


def assert_equal(a: Any, b: Any, diverges: int) -> None:
    for n, (one, other) in enumerate(zip(a[1], b[1], strict=True)):
        if n == 1 and diverges < 12:
            assert isinstance(one, DivergedTraining)
            assert str(one) == str(other)
            one, other = one.trained, other.trained
        else:
            states = zip(a[0][n].state_dict().values(), b[0][n].state_dict().values(), strict=True)
            assert all(torch.equal(x, y) for x, y in states)
        assert isinstance(one, TrainingOutcome)
        for part in ("steps", "losses", "rates", "values", "best_step", "optimizer_bytes"):
            assert getattr(one, part) == getattr(other, part), (n, part)


@pytest.mark.parametrize("diverges", [99, 6])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_kill_at_any_step_changes_nothing(
    images: Images, tmp_path: Path, optimizer: str, diverges: int
) -> None:
    recipe = Recipe(12, 7, 3e-3, optimizer, patience=2, evaluate_every=2, ema=0.8, clip_norm=1.0)
    whole = run(images, recipe, None, diverges=diverges)
    for kill in (2, 4, 7, 10):
        folders = [tmp_path / f"{kill}-{n}" for n in range(3)]
        with pytest.raises(Killed):
            run(images, recipe, folders, kill, diverges)
        assert_equal(run(images, recipe, folders, diverges=diverges), whole, diverges)
        # it has ended, and does not train again
        assert_equal(run(images, recipe, folders, kill=0, diverges=diverges), whole, diverges)


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 5, 6, 8, 11, 14])
def test_a_kill_while_files_are_written_changes_nothing(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    recipe = Recipe(8, 7, 3e-3, "sgd", patience=2, evaluate_every=2)
    folders = [tmp_path / str(n) for n in range(3)]
    whole = run(images, recipe, None)
    left = [writes]
    replace = Path.replace

    def until_killed(path: Path, target: Any) -> Path:
        if "training" in str(target):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", until_killed)
        with pytest.raises(Killed):
            run(images, recipe, folders)
    assert_equal(run(images, recipe, folders), whole, 99)


def test_slices_of_different_ages_continue_in_stacks_of_their_own(
    images: Images, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = Recipe(8, 7, 0.05, "sgd")
    folders = [tmp_path / str(n) for n in range(3)]
    whole = run(images, recipe, None)
    with pytest.raises(Killed):
        run(images, recipe, folders, kill=7)
    shutil.rmtree(folders[1])
    networks, outcomes = run(images, recipe, folders)
    assert "{0: [1], 6: [0, 2]}" in caplog.text
    for n in range(3):
        torch.testing.assert_close(networks[n].state_dict(), whole[0][n].state_dict())
        assert outcomes[n].losses == pytest.approx(whole[1][n].losses, rel=1e-6)
