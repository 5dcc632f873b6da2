"""The protocol `gan` through the harness: records, curves, seeds together, mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import harness
import harness.api
import harness_gan.judge_classifier
from harness.planning.grouping import seed_groups
from harness_gan.gan_training import GanTraining
from harness_gan.verdicts import VERDICTS


def test_seeds_run_together_and_equal_their_single_runs(toy: Any, tmp_path: Path) -> None:
    together = toy.by_place(tmp_path / "together")
    alone = toy.by_place(tmp_path / "alone", protocol={**toy.suite["protocol"], "together": 1})
    assert {r.notes["seeds_at_once"] for r in together.values()} == {3}
    assert {r.notes["seeds_at_once"] for r in alone.values()} == {1}
    for place, record in together.items():
        assert record.metrics == pytest.approx(alone[place].metrics, rel=1e-3, abs=1e-3)
    assert together["NS", 0].metrics != together["NS", 1].metrics


def test_a_record_says_what_became_of_a_run(toy: Any, tmp_path: Path) -> None:
    outcome = toy.run(tmp_path, seeds=[0])
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
    over_time = set(curves[curves["curve"] == "coverage"]["column"])
    assert {"covered", "at_0.1", "at_0.5", "high_quality", "reverse_kl"} <= over_time
    assert [p.stem for p in outcome.store.images(ns.id)] == ["samples"]


def test_what_real_samples_score_stands_beside(toy: Any, tmp_path: Path) -> None:
    """Of a Gaussian 1 − e^−4.5 lies within 3σ; every mode of the ring is covered; counts are stated."""
    record = toy.run(tmp_path, seeds=[0], methods=toy.suite["methods"][:1]).records[0]
    assert record.metrics["floor.modes"] == 8
    assert record.metrics["floor.high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.03)
    assert record.metrics["floor.reverse_kl"] < 0.1
    assert record.directions["floor.reverse_kl"] is False
    assert record.metrics["frechet.floor"] < 0.1
    assert record.metrics["prdc.precision_floor"] > 0.9
    assert record.notes["real_samples"] == {"train": 200, "test": 200}


def test_verdicts_at_equal_evaluations(toy: Any, tmp_path: Path) -> None:
    """A method with one generator step for five evaluations has had fewer steps by then."""
    methods = [{**m, "lr": 1e-3} for m in toy.suite["methods"]]
    records = toy.by_place(tmp_path, methods=methods, seeds=[0])
    for place, record in records.items():
        equal = {v: record.metrics[f"{v}.equal_evaluations"] for v in VERDICTS}
        assert sum(equal.values()) == 1
        assert record.units["collapsed.equal_evaluations"] == "fraction"
        assert record.directions["healthy.equal_evaluations"] is True
        assert record.directions["collapsed.equal_evaluations"] is False
        if place[0] == "NS":
            assert equal == {v: record.metrics[v] for v in VERDICTS}


def test_a_training_can_be_watched(toy: Any, tmp_path: Path) -> None:
    """Curves and the sample grid lie in the log folder, each seed's in its own, also when trained at once."""
    outcome = toy.run(tmp_path, methods=toy.suite["methods"][:1])
    folders = sorted((tmp_path / "logs").iterdir())
    assert len(folders) == 3
    for record in outcome.records:
        (folder,) = (f for f in folders if f.name.endswith(record.id[:8]))
        rows = pd.read_csv(folder / "training.csv")
        kept = outcome.store.curves(record.id)
        kept = kept[(kept["curve"] == "training") & (kept["column"] == "d_loss")]
        assert rows["d_loss"].to_numpy() == pytest.approx(kept["value"].to_numpy())
        assert pd.read_csv(folder / "coverage.csv")["covered"].between(0, 8).all()
        assert Image.open(folder / "samples.png").size == (256, 256)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": [{"plugin": "gan", "loss": "pacgan"}]}, "loss must be an adversarial loss"),
        (
            {"methods": [{"plugin": "gan", "loss": "hinge", "remedies": ["hinge"]}]},
            "remedies must be remedies",
        ),
        ({"methods": [{"plugin": "gan", "loss": "hinge", "beta1": 1.5}]}, "beta1 must be from 0 to below 1"),
        (
            {"methods": [{"plugin": "gan", "loss": {"plugin": "wasserstein", "n_critic": 0}}]},
            "n_critic must be at least 1",
        ),
        (
            {"methods": [{"plugin": "gan", "loss": {"plugin": "wasserstein-gp", "n_critic": 0}}]},
            "n_critic must be at least 1",
        ),
        (
            {"methods": [{"plugin": "gan", "loss": {"plugin": "zero-centred", "gamma": -1}}]},
            "gamma must not be negative",
        ),
        ({"methods": [{"plugin": "gan", "loss": "hinges"}]}, "did you mean 'hinge'"),
        ({"protocol": {"plugin": "gan", "thresholds": {"mode": 1}}}, "did you mean 'modes'"),
        ({"protocol": {"plugin": "gan", "steps": 0}}, "steps must be at least 1"),
        ({"protocol": {"plugin": "gan", "size": 0}}, "size must be at least 1"),
        ({"protocol": {"plugin": "gan", "evaluations": 0}}, "evaluations must be at least 1"),
        ({"protocol": {"plugin": "gan", "confidence": 90}}, "confidence must be from 0 to 1, found 90"),
    ],
)
def test_mistakes_are_named_before_anything_runs(toy: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(harness.HarnessError, match=words):
        harness.api.plan({**toy.suite, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ["gan-dcgan"]}, "makes images"),
        ({"models": ["tiny-vit"]}, "does not build GANs"),
        ({"protocol": {"plugin": "gan", "batch_size": 10}}, "not a multiple of PacGAN"),
    ],
)
def test_what_can_not_be_trained_is_skipped_with_the_reason(
    toy: Any, changes: dict[str, Any], words: str
) -> None:
    planned = harness.api.plan({**toy.suite, **changes}).cells
    assert any(p.state == "skipped" and words in (p.reason or "") for p in planned)


def test_images_that_can_not_be_made_are_named_with_what_to_do(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a size images are taken as they are, which is known only once they are there."""
    monkeypatch.setattr(harness_gan.judge_classifier, "STEPS", 1)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for part, count in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for n in range(count):
                Image.new("RGB", (12, 12)).save(tmp_path / "images" / part / name / f"{n}.png")
    changes = {
        "protocol": {"plugin": "gan", "steps": 2, "batch_size": 4, "samples": 10},
        "models": [{"plugin": "gan-dcgan", "width": 4}],
        "datasets": [{"plugin": "imagefolder", "path": str(tmp_path / "images"), "label": "mine"}],
        "methods": toy.suite["methods"][:1],
        "seeds": [0],
    }
    (record,) = harness.run({**toy.suite, **changes}, store=tmp_path / "store", device="cpu").records
    assert record.status == "failed"
    assert "mine: gan-dcgan makes square images of a power of two" in (record.reason or "")
    assert "give the protocol a size" in (record.reason or "")


def test_a_seed_that_is_over_costs_what_it_costs_alone(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that train with it go on."""
    monkeypatch.setattr(
        GanTraining, "are_seeds_finite", lambda self: [s != 1 or self.rounds < 5 for s in self.streams.seeds]
    )
    methods = toy.suite["methods"][:1]
    together = toy.by_place(tmp_path / "together", methods=methods, seeds=[0, 1])
    alone = toy.by_place(tmp_path / "alone", methods=methods, seeds=[1])["NS", 1]
    for name, count in (("generator_steps", 5), ("gradient_evaluations", 10)):
        assert together["NS", 1].cost[name] == alone.cost[name] == count
    assert together["NS", 0].cost["generator_steps"] == 12
    assert alone.notes["verdict"] == together["NS", 1].notes["verdict"] == "diverged"


def test_cells_of_one_configuration_are_grouped_and_no_others(toy: Any) -> None:
    cells = [p.cell for p in harness.api.plan(toy.suite).cells]
    assert [len(g) for g in seed_groups(cells)] == [3, 3]
    two = {**toy.suite, "protocol": {**toy.suite["protocol"], "together": 2}}
    assert [len(g) for g in seed_groups([p.cell for p in harness.api.plan(two).cells])] == [2, 1, 2, 1]
    half = [p.cell for p in harness.api.plan(toy.suite, precision="float16").cells]
    assert [len(g) for g in seed_groups(half)] == [1] * 6


def test_worker_processes_keep_seeds_together(toy: Any) -> None:
    from harness.running.executors.chunks import make_chunks

    cells = [p.cell for p in harness.api.plan(toy.suite).cells]
    assert [len(chunk) for chunk in make_chunks(cells, 1)] == [3, 3]
    assert [len(chunk) for chunk in make_chunks(cells, 4)] == [3, 3]
    assert [len(chunk) for chunk in make_chunks(cells, 6)] == [6]


def test_seeds_that_fail_together_are_run_alone(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad seed takes no other down: seed 1 fails, the others have their results."""
    from harness_gan.protocol import GanProtocol

    original = GanProtocol.run_many

    def failing(self: GanProtocol, jobs: Any) -> Any:
        if any(job.cell.seed == 1 for job in jobs):
            raise RuntimeError("a bad seed")
        return original(self, jobs)

    monkeypatch.setattr(GanProtocol, "run_many", failing)
    suite = {**toy.suite, "methods": toy.suite["methods"][:1]}
    records = harness.run(suite, store=tmp_path, device="cpu").records
    assert [r.status for r in records] == ["ok", "failed", "ok"]
    assert "a bad seed" in (records[1].reason or "")
