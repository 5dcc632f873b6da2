"""The protocol `gan` through the harness: records, verdicts, seeds together, resuming, third parties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import harness
import harness.api
from harness import registry
from harness.grouping import seed_groups
from harness_gan.contracts import Loss, Remedy, Settings
from harness_gan.summaries import Stability

SUITE: dict[str, Any] = {
    "name": "toy-gan",
    "protocol": {"plugin": "gan", "steps": 12, "batch_size": 16, "samples": 200, "checkpoint_every": 4},
    "models": [{"plugin": "gan-mlp", "hidden": 16, "layers": 1}],
    "datasets": [{"plugin": "gaussian-mixture", "sigma": 0.1, "label": "ring"}],
    "methods": [
        {"plugin": "gan", "label": "NS", "loss": "non-saturating", "lr": 0.001},
        {
            "plugin": "gan",
            "label": "GP",
            "loss": {"plugin": "wasserstein-gp", "n_critic": 2},
            "remedies": ["averaged-generator", {"plugin": "pacgan", "m": 4}],
        },
    ],
    "metrics": ["modes", "high-quality", "reverse-kl", "frechet", "prdc"],
    "seeds": [0, 1, 2],
}


def run(store: Path, **changes: Any) -> harness.Run:
    outcome = harness.run({**SUITE, **changes}, store=store, device="cpu")
    for record in outcome.records:
        assert record.status == "ok", record.traceback or record.reason
    return outcome


def by_place(outcome: harness.Run) -> dict[tuple[str, int], Any]:
    return {(r.coordinates["method"], r.coordinates["seed"]): r for r in outcome.records}


def test_seeds_run_together_and_equal_their_single_runs(tmp_path: Path) -> None:
    together = by_place(run(tmp_path / "together"))
    alone = by_place(run(tmp_path / "alone", protocol={**SUITE["protocol"], "together": 1}))
    assert {r.notes["seeds_at_once"] for r in together.values()} == {3}
    assert {r.notes["seeds_at_once"] for r in alone.values()} == {1}
    for place, record in together.items():
        assert record.metrics == pytest.approx(alone[place].metrics, rel=1e-3, abs=1e-3)
    assert together["NS", 0].metrics != together["NS", 1].metrics


def test_a_record_says_what_became_of_a_run(tmp_path: Path) -> None:
    outcome = run(tmp_path, seeds=[0])
    ns, gp = outcome.records
    assert ns.notes["verdict"] in (ns.reason or "")
    assert "thresholds: rms 10" in (ns.reason or "")
    assert (
        sum(ns.metrics[v] for v in ("healthy", "collapsed", "d_wins", "frozen", "diverged", "unconverged"))
        == 1
    )
    assert ns.directions["reverse-kl"] is False
    assert ns.directions["modes"] is True
    assert ns.directions["diverged"] is False
    assert (ns.cost["gradient_evaluations"], ns.cost["generator_steps"]) == (24, 12)
    # two critic steps of two evaluations each, and one generator step
    assert gp.cost["gradient_evaluations"] == 12 * 5
    assert ns.metrics["modes.equal_evaluations"] == ns.metrics["modes"]
    equal, final = (f"frechet.points d=2 n=200/200{end}" for end in (".equal_evaluations", ""))
    assert gp.metrics[equal] != gp.metrics[final]
    assert "frechet.points d=2 n=200/200" in ns.metrics
    curves = outcome.store.curves(ns.id)
    names = set(curves[curves["curve"] == "training"]["column"])
    assert {"d_loss", "g_loss", "d_real", "d_fake", "d_gradient", "g_gradient", "d_from_half"} <= names
    at_equilibrium = curves[curves["column"] == "d_loss_from_equilibrium"]["value"].to_numpy()
    losses = curves[curves["column"] == "d_loss"]["value"].to_numpy()
    assert losses - at_equilibrium == pytest.approx(2 * np.log(2), abs=1e-5)
    assert "covered" in set(curves[curves["curve"] == "coverage"]["column"])
    assert [p.stem for p in outcome.store.images(ns.id)] == ["samples"]


class Stop:
    """Ends the run like a kill would, at a round."""

    def __init__(self, at: int) -> None:
        self.at = at

    @harness.hookimpl
    def cell_progress(self, done: int) -> None:
        if done == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("seeds_after", [[0, 1, 2], [1]])
def test_a_killed_run_continues_to_the_same_result(tmp_path: Path, seeds_after: list[int]) -> None:
    """Also when a seed goes on without those it trained with."""
    methods = SUITE["methods"][1:]
    whole = by_place(run(tmp_path / "whole", methods=methods))
    with pytest.raises(KeyboardInterrupt):
        harness.run({**SUITE, "methods": methods}, store=tmp_path / "cut", device="cpu", listeners=[Stop(10)])
    left = list((tmp_path / "cut").rglob("training.pt"))
    assert len(left) == 3
    counts = [torch.load(p, weights_only=True)["counts"]["rounds"] for p in left]
    assert counts == [8, 8, 8]
    again = by_place(run(tmp_path / "cut", methods=methods, seeds=seeds_after))
    for place, record in again.items():
        if len(seeds_after) == 3:
            assert record.metrics == whole[place].metrics
        else:
            assert record.metrics == pytest.approx(whole[place].metrics, rel=1e-3, abs=1e-3)
    if len(seeds_after) == 3:
        assert not list((tmp_path / "cut").rglob("training.pt"))


def test_a_damaged_checkpoint_starts_the_seed_anew(tmp_path: Path) -> None:
    methods = SUITE["methods"][:1]
    whole = by_place(run(tmp_path / "whole", methods=methods, seeds=[0]))
    suite = {**SUITE, "methods": methods, "seeds": [0]}
    with pytest.raises(KeyboardInterrupt):
        harness.run(suite, store=tmp_path / "cut", device="cpu", listeners=[Stop(6)])
    next((tmp_path / "cut").rglob("training.pt")).write_bytes(b"not a checkpoint")
    again = by_place(run(tmp_path / "cut", methods=methods, seeds=[0]))
    assert again["NS", 0].metrics == whole["NS", 0].metrics


class Doubled(Loss):
    """A third party's loss."""

    def real(self, output: torch.Tensor) -> torch.Tensor:
        return -2 * output

    def fake(self, output: torch.Tensor) -> torch.Tensor:
        return 2 * output

    def generator(self, output: torch.Tensor) -> torch.Tensor:
        return -2 * output


class Slow(Remedy):
    """A third party's remedy."""

    def __init__(self, factor: float = 0.1) -> None:
        self.factor = factor

    def adjust(self, settings: Settings) -> None:
        settings.lr_d *= self.factor


def test_a_third_party_adds_a_loss_and_a_remedy_by_one_class_each(tmp_path: Path) -> None:
    registry.register("methods", "doubled", Doubled)
    registry.register("methods", "slow", Slow)
    method = {
        "plugin": "gan",
        "label": "own",
        "loss": "doubled",
        "remedies": [{"plugin": "slow", "factor": 0.5}],
    }
    outcome = run(tmp_path, methods=[method], seeds=[0])
    assert "d_accuracy" not in outcome.store.curves(outcome.records[0].id)["column"].tolist()
    changed = {**method, "remedies": [{"plugin": "slow", "factor": 0.25}]}
    ids = [
        harness.api.plan({**SUITE, "methods": [m], "seeds": [0]}).cells[0].cell.id for m in (method, changed)
    ]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": [{"plugin": "gan", "loss": "pacgan"}]}, "loss must be an adversarial loss"),
        (
            {"methods": [{"plugin": "gan", "loss": "hinge", "remedies": ["hinge"]}]},
            "remedies must be remedies",
        ),
        ({"methods": [{"plugin": "gan", "loss": "hinges"}]}, "did you mean 'hinge'"),
        ({"protocol": {"plugin": "gan", "thresholds": {"mode": 1}}}, "did you mean 'modes'"),
        ({"protocol": {"plugin": "gan", "steps": 0}}, "steps must be at least 1"),
    ],
)
def test_mistakes_are_named_before_anything_runs(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(harness.HarnessError, match=words):
        harness.api.plan({**SUITE, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ["gan-dcgan"]}, "makes images"),
        ({"models": ["tiny-vit"]}, "GAN architectures"),
        ({"protocol": {"plugin": "gan", "batch_size": 10}}, "no multiple of PacGAN"),
    ],
)
def test_what_can_not_be_trained_is_skipped_with_the_reason(changes: dict[str, Any], words: str) -> None:
    planned = harness.api.plan({**SUITE, **changes}).cells
    assert any(p.state == "skipped" and words in (p.reason or "") for p in planned)


def test_cells_of_one_configuration_are_grouped_and_no_others() -> None:
    cells = [p.cell for p in harness.api.plan(SUITE).cells]
    assert [len(g) for g in seed_groups(cells)] == [3, 3]
    two = {**SUITE, "protocol": {**SUITE["protocol"], "together": 2}}
    assert [len(g) for g in seed_groups([p.cell for p in harness.api.plan(two).cells])] == [2, 1, 2, 1]
    half = [p.cell for p in harness.api.plan(SUITE, precision="float16").cells]
    assert [len(g) for g in seed_groups(half)] == [1] * 6


def test_digits_are_judged_by_a_classifier_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real digits stacked as colours: 1,000 modes; a short training covers few, and the floor is named."""
    import harness_gan.classifier

    monkeypatch.setattr(harness_gan.classifier, "STEPS", 60)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    record = run(
        tmp_path / "store",
        protocol={"plugin": "gan", "steps": 2, "batch_size": 8, "size": 8, "samples": 100, "confidence": 0.0},
        models=[{"plugin": "gan-dcgan", "width": 4, "latent": 8}],
        datasets=[{"plugin": "stacked", "dataset": "digits", "count": 300, "label": "stacked"}],
        methods=SUITE["methods"][:1],
        seeds=[0],
    ).records[0]
    assert record.notes["signs"]["modes"] == 1000
    assert record.notes["verdict"] == "collapsed"
    assert record.metrics["frechet.classifier d=96 n=100/100"] > record.metrics["frechet.floor"]
    assert len(record.notes["classifier"]) == 12


def test_stability_counts_every_seed() -> None:
    reason = "collapsed: 1 of 8 modes; thresholds: modes 0.5"
    data = pd.DataFrame(
        {
            "model": "m",
            "dataset": "d",
            "method": ["a"] * 5 + ["b"] * 2,
            "seed": [0, 1, 2, 3, 4, 0, 1],
            "modes": [8, 8, 7, 1, 0, 8, 8],
            "modes.equal_evaluations": [4, 4, 4, 1, 0, 8, 8],
            "collapsed": [0, 0, 0, 1, 1, 0, 0],
            "reason": reason,
        }
    )
    found = Stability(["modes"], ["collapsed"])(data).set_index(["method", "metric"])
    a = found.loc["a"]
    assert a.loc["modes median", "value"] == 7
    assert a.loc["modes IQR", "value"] == 7
    assert a.loc["modes worst", "value"] == 0
    # Wilson's interval of 2 of 5, from its closed form with z = 1.959964
    assert a.loc["collapsed rate", "value"] == 0.4
    assert (a.loc["collapsed rate", "low"], a.loc["collapsed rate", "high"]) == pytest.approx(
        (0.1176, 0.7693), abs=1e-4
    )
    assert "modes 0.5" in a.loc["collapsed rate", "note"]
    assert "only 2 of at least 5 seeds" in found.loc[("b", "modes median"), "note"]
    equal = Stability(["modes"], [], equal_evaluations=True)(data).set_index(["method", "metric"])
    assert equal.loc[("a", "modes median"), "value"] == 4


class Corners:
    """An encoder of four numbers: the mean of each quarter of an image."""

    def load(self, device: torch.device) -> None:
        pass

    def prepare(self, image: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images.mean(1), 2).flatten(1)


def test_any_model_that_encodes_images_may_judge(tmp_path: Path) -> None:
    """A column says which one it was, and the distance is never called FID."""
    registry.register("models", "corners", Corners)
    record = run(
        tmp_path,
        protocol={
            "plugin": "gan",
            "steps": 2,
            "batch_size": 8,
            "size": 8,
            "samples": 40,
            "extractor": "corners",
        },
        models=[{"plugin": "gan-dcgan", "width": 4, "latent": 8}],
        datasets=["digits"],
        methods=SUITE["methods"][:1],
        metrics=["frechet"],
        seeds=[0],
    ).records[0]
    named = [name for name in record.metrics if name.startswith("frechet.corners d=4 n=40/")]
    assert named
    assert not any("fid" in name.lower() for name in record.metrics)


@pytest.mark.parametrize("name", ["gan", "gan-images", "gan-cyclegan"])
def test_shipped_suites_can_be_planned(name: str) -> None:
    plan = harness.api.plan(name)
    assert not [p.reason for p in plan.cells if p.state == "broken"]
    if name == "gan":
        assert {p.state for p in plan.cells} <= {"run", "done"}
        assert len({p.cell.seed for p in plan.cells}) >= 5


def test_planted_runs_through_the_protocol(tmp_path: Path) -> None:
    """Steps of a thousand up a critic's slope leave the data; a generator that stands still covers little."""
    loss = {"plugin": "gan", "loss": "least-squares"}
    critic = {"plugin": "gan", "loss": {"plugin": "wasserstein", "clip": 1.0}}
    outcome = run(
        tmp_path,
        methods=[
            {**critic, "label": "huge steps", "lr_g": 1e3, "lr_d": 1e-3},
            {**loss, "label": "no steps", "lr_g": 1e-12, "lr_d": 1e-3},
        ],
        seeds=[0],
    )
    diverged, stuck = outcome.records
    assert diverged.notes["verdict"] == "diverged"
    assert diverged.metrics["modes"] == 0
    assert all(np.isfinite(list(diverged.metrics.values())))
    assert stuck.notes["verdict"] == "collapsed"


def test_a_generator_on_the_data_is_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted healthy run: its samples are drawn from the mixture itself."""
    from harness_gan.mixtures import GaussianMixture
    from harness_gan.training import Training

    split = GaussianMixture(sigma=0.1).load("train")

    def perfect(self: Training, latent: torch.Tensor, batch: int = 0) -> torch.Tensor:
        return split.draw(latent.shape[1], torch.Generator().manual_seed(1))[None]

    monkeypatch.setattr(Training, "sample", perfect)
    record = run(tmp_path, methods=SUITE["methods"][:1], seeds=[0]).records[0]
    assert record.notes["verdict"] == "healthy"
    assert record.metrics["modes"] == 8
    assert record.metrics["high-quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.03)


def test_mixed_precision_keeps_weights_in_float32(tmp_path: Path) -> None:
    plain = run(tmp_path, seeds=[0], methods=SUITE["methods"][:1])
    mixed = run(tmp_path, seeds=[0], methods=SUITE["methods"][:1], precision="bfloat16")
    assert plain.records[0].metrics != mixed.records[0].metrics
    for record in mixed.records:
        curve = mixed.store.curves(record.id)
        assert np.isfinite(curve["value"]).all()


def test_seeds_that_fail_together_are_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad seed takes no other down: seed 1 fails, the others have their results."""
    from harness_gan.protocol import Gan

    original = Gan.run_many

    def failing(self: Gan, jobs: Any) -> Any:
        if any(job.cell.seed == 1 for job in jobs):
            raise RuntimeError("a bad seed")
        return original(self, jobs)

    monkeypatch.setattr(Gan, "run_many", failing)
    suite = {**SUITE, "methods": SUITE["methods"][:1]}
    records = harness.run(suite, store=tmp_path, device="cpu").records
    assert [r.status for r in records] == ["ok", "failed", "ok"]
    assert "a bad seed" in (records[1].reason or "")


def test_worker_processes_keep_seeds_together() -> None:
    from harness.executors.processes import _chunks

    cells = [p.cell for p in harness.api.plan(SUITE).cells]
    assert [len(chunk) for chunk in _chunks(cells, 1)] == [3, 3]
    assert [len(chunk) for chunk in _chunks(cells, 4)] == [3, 3]
    assert [len(chunk) for chunk in _chunks(cells, 6)] == [6]


def test_a_collapse_and_its_cure(tmp_path: Path) -> None:
    """A discriminator ten times too slow covers nothing at a loss near log 4; two critic steps cover the ring."""
    base = {"plugin": "gan", "loss": "non-saturating", "lr": 1e-3, "beta2": 0.9}
    slow = {"plugin": "weak-discriminator", "factor": 1.0, "rate": 0.1}
    outcome = run(
        tmp_path,
        protocol={"plugin": "gan", "steps": 400, "batch_size": 64},
        models=[{"plugin": "gan-mlp", "hidden": 64, "layers": 2}],
        datasets=[{"plugin": "gaussian-mixture", "sigma": 0.1, "scale": 1.414}],
        methods=[
            {**base, "label": "slow", "remedies": [slow]},
            {**base, "label": "two", "remedies": ["critic-steps"]},
        ],
        metrics=["modes"],
    )
    covered: dict[str, list[float]] = {"slow": [], "two": []}
    for record in outcome.records:
        covered[record.coordinates["method"]].append(record.metrics["modes"])
        if record.coordinates["method"] == "slow":
            assert record.notes["verdict"] != "healthy"
            assert abs(record.notes["signs"]["d_loss"] - 2 * np.log(2)) < 0.35
    assert np.median(covered["slow"]) <= 2
    assert np.median(covered["two"]) >= 6
