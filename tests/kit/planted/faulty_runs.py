"""Protocols and methods: sound ones, and the same with one fault each, for the kit to find."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import numpy as np

from harness import Result


class Training:
    """A sound protocol: some steps of a random walk, with a checkpoint of its position and generator."""

    axes: Any = ()
    directions: ClassVar = {"end": False}
    needs_model = False

    def __init__(self, steps: int = 6) -> None:
        self.steps = steps

    def cannot(self, model: Any, dataset: Any, method: Any, axes: Any) -> str | None:
        return None if method is None or isinstance(method, Walk) else "it takes walks only"

    def rng(self, job: Any) -> Any:
        return np.random.default_rng(job.seed_for("walk", job.cell.seed))

    def run(self, job: Any) -> Any:
        import json

        rng, kept = self.rng(job), job.workdir / "state.json"
        place, start, state = 0.0, 0, None
        if kept.is_file():
            start, place, state = json.loads(kept.read_text())
            self.restore(rng, state)
        for step in range(start, self.steps):
            place += job.method.step(job, rng) if job.method else rng.normal()
            job.workdir.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps([step + 1, place, rng.bit_generator.state]))
            job.advance(step + 1, self.steps)
        return Result(metrics={"end": self.end(place)})

    def restore(self, rng: Any, state: Any) -> None:
        rng.bit_generator.state = state

    def end(self, place: float) -> float:
        return place


class ForgetsTheGenerator(Training):
    """Goes on with a generator from the beginning."""

    def restore(self, rng: Any, state: Any) -> None:
        pass


class OwnSeed(Training):
    """Seeds from the machine's randomness."""

    def rng(self, job: Any) -> Any:
        return np.random.default_rng()


class Swallows(Training):
    """Meets an interrupt with a bare except."""

    def run(self, job: Any) -> Any:
        try:
            return super().run(job)
        except BaseException:
            return Result(metrics={"end": 0.0})


class EndsInNan(Training):
    """Reports what is no number."""

    def end(self, place: float) -> float:
        return float("nan")


class BeyondTheEnd(Training):
    """Tells that more is done than there is."""

    def run(self, job: Any) -> Any:
        job.advance(7, 6)
        return super().run(job)


class CannotRaises(Training):
    """Takes for granted that there is a method."""

    def cannot(self, model: Any, dataset: Any, method: Any, axes: Any) -> str | None:
        return "none" if method.name == "other" else None


class NeedsWords(Training):
    """Names a capability in words."""

    needs: Any = ("detects objects",)


class UnknownTargets(Training):
    """Takes a kind of target that there is not."""

    target_kinds = ("box",)


class AxesAsText(Training):
    """Writes its one axis as a text, which is a sequence of letters."""

    axes = "shots"


class SeedsMixed(Training):
    """Runs several seeds at once, with one generator for all."""

    def seeds_at_once(self, cell: Any) -> int:
        return 2

    def run_many(self, jobs: Any) -> Any:
        rng = self.rng(jobs[0])
        return [Result(metrics={"end": float(sum(rng.normal() for _ in range(self.steps)))}) for _ in jobs]


class TrainsTheModel(Training):
    """Changes the weights of the model that all cells share."""

    needs_model = True

    def run(self, job: Any) -> Any:
        next(job.model.module.parameters()).data.add_(0.01)
        return super().run(job)


class LeavesAHook(TrainsTheModel):
    """Leaves a hook on the model that all cells share."""

    def run(self, job: Any) -> Any:
        job.model.module.register_forward_hook(lambda *_: None)
        return Training.run(self, job)


class Embeds(Training):
    """A sound protocol that adds a frozen feature to the walk, and computes it ahead."""

    def feature(self, job: Any, what: str = "length") -> float:
        split = job.dataset.splits[0]
        return float(job.features(what, split, lambda: np.array([len(job.splits(split))]))[0])

    def run(self, job: Any) -> Any:
        result = super().run(job)
        return Result(metrics={"end": result.metrics["end"] + self.feature(job)})

    def warm(self, job: Any) -> None:
        self.feature(job)


class WarmsOthers(Embeds):
    """Computes ahead what its run does not ask for."""

    def warm(self, job: Any) -> None:
        self.feature(job, "lengths")


class WarmRaises(Embeds):
    """Takes for granted that there is a method."""

    def warm(self, job: Any) -> None:
        self.feature(job, job.method.name)


class WarmDecides(Embeds):
    """Computes ahead something else of the same name."""

    def warm(self, job: Any) -> None:
        job.features("length", job.dataset.splits[0], lambda: np.array([0]))


class WarmWrites(Embeds):
    """Writes into the folder of the cell, which may run elsewhere."""

    def warm(self, job: Any) -> None:
        self.feature(job)
        job.workdir.mkdir(parents=True)
        (job.workdir / "warm.json").touch()


class Walk:
    """A sound method."""

    def __init__(self, width: float = 1.0) -> None:
        self.width = width

    def step(self, job: Any, rng: Any) -> float:
        return self.width * float(rng.normal())


class GlobalNoise(Walk):
    """Draws from the machine's randomness."""

    def step(self, job: Any, rng: Any) -> float:
        return random.SystemRandom().gauss(0, 1)


class Remembers(Walk):
    """Keeps a count that no checkpoint holds."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def step(self, job: Any, rng: Any) -> float:
        self.steps += 1
        return self.steps * super().step(job, rng)


class Trains(Walk):
    """Changes the weights of the model that all cells share."""

    def step(self, job: Any, rng: Any) -> float:
        next(job.model.module.parameters()).data.mul_(0.9)
        return super().step(job, rng)


class Stranger:
    """A method that no protocol takes."""
