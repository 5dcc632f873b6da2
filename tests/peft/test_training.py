"""The training loop and the protocol: resuming, schedules, draws, probes, records."""

from __future__ import annotations

import gc
import json
import math
import threading
import weakref

import numpy as np
import pytest
import torch

import harness
from harness.contract.data import Sample
from harness.errors import Diverged, OptionError
from harness.learning.recipe import Recipe
from harness.learning.trials import spread_rates
from harness.planning import suite as suites
from harness_peft import costs, lora, selective
from harness_peft.finetuning import collect_base_modules, train_network
from harness_peft.prepared_splits import pass_through
from harness_peft.protocol import Finetuning
from harness_peft.swept_probe import SweptProbe
from harness_peft.training_data import TrainingBatches


class Killed(Exception):
    """Stands for a kill in the middle of a training."""


@pytest.mark.parametrize("method", [lora.LoRA(2, dropout=0.3), selective.Full()], ids=["lora", "full"])
def test_a_killed_training_goes_on_to_the_same_end(network, held, tmp_path, method):
    """Dropout, order, optimiser state, best weights and losses are as if nothing had happened."""
    recipe = Recipe(steps=9, batch=4, rate=1e-2, patience=5, evaluate_every=2)
    scores = {2: 0.1, 4: 0.9, 6: 0.3, 8: 0.2}

    def run(folder, stop=None, every=3):
        net = network()
        base = collect_base_modules(net)
        torch.manual_seed(11)
        method.prepare(net)
        calls = {"step": 0}

        def tell(step, values):
            calls["step"] = step
            if step == stop:
                raise Killed

        result = train_network(net, held, recipe, 4, base=base, folder=folder, checkpoint_every=every,
                       validate=lambda: scores[calls["step"]], tell=tell)  # fmt: skip
        return net, result

    whole, expected = run(None)
    with pytest.raises(Killed):
        run(tmp_path, stop=8)
    assert (tmp_path / "training.safetensors").is_file()
    again, found = run(tmp_path)
    assert len(found.seconds) == 9
    assert found.losses == expected.losses
    assert found.scores == expected.scores == scores
    for (name, a), (_, b) in zip(whole.state_dict().items(), again.state_dict().items()):
        assert torch.equal(a, b), name


def test_early_stopping_takes_the_best_weights(network, held):
    net = network()
    base = collect_base_modules(net)
    selective.Full().prepare(net)
    kept = {}
    scores = iter([0.2, 0.8, 0.5, 0.6, 0.3, 0.2])

    def validate():
        value = next(scores)
        kept[value] = net.head.weight.detach().clone()
        return value

    recipe = Recipe(steps=50, batch=6, rate=1e-2, patience=2, evaluate_every=1)
    result = train_network(net, held, recipe, 0, base=base, validate=validate)
    assert result.steps == 4  # two evaluations in a row without a better one
    assert torch.equal(net.head.weight, kept[0.8])


def test_the_best_weights_come_with_the_statistics_that_they_were_judged_with(held):
    """Batch norm's running statistics move with full fine-tuning: the last ones belong to other weights."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(),
                              torch.nn.Linear(4 * 14 * 14, 3))  # fmt: skip
    scores, kept = iter([0.9, 0.1]), []

    def validate():
        kept.append({n: t.clone() for n, t in net.state_dict().items()})
        return next(scores)

    recipe = Recipe(steps=9, batch=6, rate=1e-2, patience=1, evaluate_every=1)
    train_network(net, held, recipe, 0, base=collect_base_modules(net), validate=validate)
    assert len(kept) == 2
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, kept[0][name]), name
    assert not torch.equal(kept[0]["1.running_mean"], kept[1]["1.running_mean"])


def test_a_loss_that_is_not_finite_diverges(network, held):
    net = network()
    with torch.no_grad():
        net.head.bias.fill_(float("nan"))
    with pytest.raises(Diverged, match="step 1 of 3"):
        train_network(net, held, Recipe(steps=3, batch=6), 0, base=collect_base_modules(net))


def test_label_smoothing_reaches_the_loss(network, held):
    losses = []
    for amount in (0.0, 0.5):
        net = network()
        expected = torch.nn.functional.cross_entropy(net(held.images), held.targets, label_smoothing=amount)
        result = train_network(
            net, held, Recipe(steps=1, batch=6, label_smoothing=amount), 0, base=collect_base_modules(net)
        )
        assert result.losses[0] == pytest.approx(float(expected.detach()), abs=1e-5)
        losses.append(result.losses[0])
    assert losses[0] != losses[1]


def test_every_method_has_as_many_trials():
    assert spread_rates((1e-3, 1e-1), 3) == pytest.approx([1e-3, 1e-2, 1e-1])
    assert spread_rates((1e-3, 3e-3, 1e-1), 1) == pytest.approx([1e-2])
    assert len(SweptProbe().candidates(4)) == 4


def test_augmentation_differs_by_step_and_keeps_size():
    from harness.contract.models import Preparation

    class Split:
        targets = np.zeros(4, np.int64)
        ids = tuple("abcd")

        def __len__(self):
            return 4

        def __getitem__(self, i):
            return Sample(self.ids[i], np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8))

    for kind in ("flip", "crop-flip", "randaugment"):
        data = TrainingBatches(Split(), range(4), None, torch.device("cpu"), kind, Preparation(16, 16))
        seen = []
        for seed in (0, 0, 1, 2, 3):
            (batch,) = data.make_source(seed).batches([(0, 0, np.arange(4))])
            seen.append(batch.data)
        assert seen[0].shape == (4, 3, 16, 16)
        assert torch.equal(seen[0], seen[1])
        assert any(not torch.equal(seen[0], s) for s in seen[2:])
    with pytest.raises(OptionError, match="preparation"):
        TrainingBatches(Split(), range(4), None, torch.device("cpu"), "flip", None)


class Numbered:
    """A split of small images that counts how many it has made are alive at once."""

    def __init__(self, count):
        self.ids, self.targets = [str(i) for i in range(count)], np.arange(count) % 3
        self.alive, self.most, self.lock = weakref.WeakSet(), 0, threading.Lock()

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        image = torch.full((3, 4, 4), float(i))
        with self.lock:
            self.alive.add(image)
            self.most = max(self.most, len(self.alive))
        return Sample(self.ids[i], image)


@pytest.mark.parametrize("kept", [True, False])
def test_as_many_images_are_taken_as_are_asked_for(monkeypatch, kept):
    """What is not a multiple of the batch gives a whole first batch, too: costs are measured on it."""
    if not kept:
        monkeypatch.setattr("harness_peft.training_data.KEPT_BYTES", 0)
    data = TrainingBatches(Numbered(65), range(65), pass_through, torch.device("cpu"))
    assert data.take(64)[:, 0, 0, 0].tolist() == list(range(64))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_split_that_does_not_fit_into_memory_streams(monkeypatch, workers):
    """No more images are alive than the batch in use and the pipeline's depth of two."""
    monkeypatch.setattr("harness_peft.training_data.KEPT_BYTES", 0)
    split = Numbered(160)
    data = TrainingBatches(split, range(160), pass_through, torch.device("cpu"), workers=workers)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
    train_network(net, data, Recipe(steps=40, batch=8), 0, base=collect_base_modules(net))
    assert 0 < split.most <= 3 * 8


def test_probe_on_embeddings_equals_the_frozen_network_trained_end_to_end(network, images):
    """Check 15: both minimise the same convex function; L-BFGS through the network reaches the same logits."""
    net = network(head="new", classes=3)
    x = torch.randn(30, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    y = torch.arange(30) % 3
    penalty = 0.05
    features = net.features(x).detach().numpy()
    weight, bias = SweptProbe().solve(features, y.numpy(), 3, penalty)
    optimizer = torch.optim.LBFGS(net.head.parameters(), max_iter=300, tolerance_grad=1e-9, tolerance_change=1e-12,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y) + penalty / 2 * net.head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    wanted = net(images).detach().softmax(1).numpy()
    logits = net.features(images).detach().numpy() @ weight.T + bias
    found = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(found - wanted).max() < 2e-3
    assert np.abs(weight - net.head.weight.detach().numpy()).max() < 5e-3


def test_probe_with_absent_and_with_two_classes():
    features = np.array([[0.0, 1], [0, 2], [3, 0], [4, 0]])
    weight, bias = SweptProbe().solve(features, np.array([1, 1, 3, 3]), 5, 0.01)
    assert (features @ weight.T + bias).argmax(1).tolist() == [1, 1, 3, 3]
    weight, bias = SweptProbe().solve(features, np.array([2, 2, 2, 2]), 5, 0.01)
    assert set((features @ weight.T + bias).argmax(1)) == {2}


def test_penultimate_features_leave_the_projection_out(network, images):
    net = network("clip")
    projection = net.backbone.proj.detach().clone()
    projected = net.features(images)
    SweptProbe(features="penultimate").prepare(net)
    assert torch.allclose(net.features(images) @ projection, projected, atol=1e-5)


def test_clip_sweep_ends_at_eight_steps_per_decade():
    """The search of the CLIP paper finds the peak of a smooth score on its finest grid."""
    peak = 10**-2.375
    scores = SweptProbe("clip").refine(lambda v: -abs(math.log10(v) - math.log10(peak)))
    assert max(scores, key=scores.get) == pytest.approx(peak)
    assert len(scores) <= 7 + 2 * 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "one of steps"),
        ({"steps": 1, "epochs": 1}, "one of steps"),
        ({"steps": 1, "batch": 0}, "batch must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"epochs": 0.0}, "epochs must be above 0"),
        ({"steps": 1, "warmup": 1.5}, "warmup must be in"),
        ({"steps": 1, "label_smoothing": -0.1}, "label_smoothing must be in"),
        ({"steps": 1, "patience": 0}, "patience must be at least 1"),
        ({"steps": 1, "train_size": 0}, "train_size must be at least 1"),
        ({"steps": 1, "checkpoint_every": 0}, "checkpoint_every must be at least 1"),
        ({"steps": 1, "retrain": True}, "needs a holdout"),
        ({"steps": 1, "holdout": 1.5}, "between 0 and 1"),
        ({"steps": 1, "shift_names": ["x"]}, "shift_names"),
        ({"steps": 1, "rates": [0.0]}, "positive"),
    ],
)
def test_bad_options_in_one_line(options, says):
    with pytest.raises(OptionError, match=says):
        Finetuning(**options)


SUITE = {
    "name": "small",
    "protocol": {"plugin": "finetuning", "steps": 3, "batch": 8, "trials": 2, "head": "new",
                 "shifts": ["printed-digits"], "shift_names": ["printed"]},
    "models": [{"plugin": "tiny-vit", "steps": 0}],
    "datasets": ["digits"],
    "axes": {"shots": [2]},
    "metrics": ["top1"],
    "limit": 60,
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    def go(store="store", seeds=(0,), **changes):
        changed = {**SUITE, **changes, "seeds": list(seeds)}
        harness.run(changed, store=tmp_path / store, device="cpu")
        return [json.loads(p.read_text()) for p in sorted((tmp_path / store / "records").rglob("*.json"))]

    return go


def test_a_cell_measures_what_it_says(run):
    methods = [{"plugin": "lora", "rank": 2, "label": "lora"}, "probe", "untrained"]
    found = {
        r["coordinates"]["method"]: r
        for r in run(methods=methods, seeds=(0, 1))
        if r["coordinates"]["seed"] == 1
    }
    record = found["lora"]
    assert record["status"] == "ok", record["reason"]
    assert {"top1", "top1.printed"} <= record["metrics"].keys()
    cost = record["cost"]
    assert cost["trainable_without_head"] == 3 * 2 * 2 * (64 + 64)
    assert cost["trainable_parameters"] == cost["trainable_without_head"] + 650
    assert cost["gradient_bytes"] == 4 * cost["trainable_parameters"]
    assert cost["optimizer_bytes"] == pytest.approx(8 * cost["trainable_parameters"], rel=0.02)
    assert cost["adapter_bytes"] >= cost["gradient_bytes"]
    for name in (
        "seconds_per_step",
        "samples_per_second",
        "training_samples_per_second",
        "merged_samples_per_second",
    ):
        assert cost[name] > 0
    assert record["notes"]["backprop_stops_at"].startswith("backbone.blocks.0.attn.qkv")
    assert record["notes"]["merged_difference"] < 1e-4
    tuning = record["notes"]["tuning"]
    assert tuning["trials"] == 2 == len(tuning["validation_accuracy"])
    assert found["probe"]["status"] == "ok", found["probe"]["reason"]
    assert found["probe"]["notes"]["tuning"]["trials"] == 2
    assert found["untrained"]["status"] == "skipped"
    assert "needs a head for these classes" in found["untrained"]["reason"]


def test_every_cell_has_every_cost_that_tables_show(run):
    """A run of one method alone would have no table otherwise, for want of a column."""
    methods = ["full", "untrained", {"plugin": "probe", "label": "probe"}]
    records = run(methods=methods, protocol={"plugin": "finetuning", "steps": 1, "trials": 1, "head": "old"},
                  models=[{"plugin": "tiny-vit", "trained_on": "digits", "steps": 0}])  # fmt: skip
    assert {r["status"] for r in records} == {"ok"}
    shown = set()
    for name in ("peft", "peft-vtab", "peft-clip"):
        for table in suites.load_suite_file(name).tables:
            shown |= {v for v in table.values if v not in ("top1", "nll")}
    assert "training_peak_memory" in shown
    assert all(shown <= r["cost"].keys() for r in records)


def test_vtab_style_tuning_and_retraining(run):
    options = {"plugin": "finetuning", "steps": 2, "batch": 8, "trials": 2, "head": "new", "train_size": 40,
               "holdout": 0.2, "retrain": True}  # fmt: skip
    (record,) = run(protocol=options, axes={}, methods=["bitfit"])
    assert record["status"] == "ok", record["reason"]
    assert record["notes"]["training_samples"] == 40
    assert record["notes"]["tuning"]["validation_samples"] == 8
    assert record["notes"]["tuning"]["validation_split"] == "held out of train"


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of images in three classes with the splits that are asked for."""
    from PIL import Image

    def make(**counts):
        for split, count in counts.items():
            for label, name in enumerate("abc"):
                (tmp_path / "data" / split / name).mkdir(parents=True)
                for i in range(count):
                    pixels = np.random.default_rng([label, i]).integers(0, 256, (16, 16, 3), np.uint8)
                    Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{i}.png")
        return [{"plugin": "imagefolder", "path": str(tmp_path / "data"), "layout": "splits"}]

    return make


def test_what_is_tested_on_never_validates(run, folder):
    """A data set with `train` and `val` alone is tested on the latter, so that nothing may be chosen on it."""
    options = {"plugin": "finetuning", "steps": 2, "batch": 8, "trials": 2, "head": "new"}
    case = {"axes": {}, "methods": ["probe-gradient"], "datasets": folder(train=10, val=4)}
    (record,) = run("bare", protocol=options, **case)
    assert record["status"] == "failed"
    assert "'val', the test split: give holdout" in record["reason"]
    for own in (False, True):
        held = {**options, "holdout": 0.2, "retrain": True, "own_validation": own}
        (record,) = run(f"held {own}", protocol=held, **case)
        assert record["status"] == "ok", record["reason"]
        assert record["notes"]["tuning"]["validation_split"] == "held out of train"
        assert record["notes"]["training_samples"] == 30
        assert record["count"] == 12


@pytest.mark.parametrize("name", ["valid", "Dev"])
def test_splits_are_found_under_their_other_names(run, folder, name):
    options = {"plugin": "finetuning", "steps": 2, "batch": 8, "trials": 2, "head": "new"}
    case = {"axes": {}, "methods": ["probe-gradient"]}
    splits = {"Training": 10, name: 4, "testing": 3}
    (record,) = run("whole", protocol=options, datasets=folder(**splits), **case)
    assert record["status"] == "ok", record["reason"]
    assert record["notes"]["tuning"]["validation_split"] == name
    assert (record["count"], record["notes"]["training_samples"]) == (9, 30)
    assert "remarks" not in record["notes"]


def test_tested_on_validation_is_told(run, folder):
    options = {"plugin": "finetuning", "steps": 1, "trials": 1, "head": "new"}
    case = {"axes": {}, "methods": ["full"], "datasets": folder(train=3, eval=2)}
    (record,) = run("told", protocol=options, **case)
    assert record["count"] == 6
    assert any("tested on 'eval', a split for validation" in text for text in record["notes"]["remarks"])


def test_a_split_to_test_on_is_asked_for_at_planning(run, folder):
    options = {"plugin": "finetuning", "steps": 1, "trials": 1, "head": "new"}
    case = {"axes": {}, "methods": ["full"], "datasets": folder(train=3)}
    (record,) = run("none", protocol=options, **case)
    assert record["status"] == "skipped"
    assert "neither a split for testing nor one for validation" in record["reason"]
    (record,) = run("wrong", protocol={**options, "split": "trian"}, **case)
    assert record["status"] == "skipped"
    assert "no split 'trian' to test on" in record["reason"]
    assert "train" in record["reason"]


def test_what_is_kept_is_small_and_safe(run, tmp_path):
    from safetensors import safe_open

    options = {**SUITE["protocol"], "keep": str(tmp_path / "kept")}
    (record,) = run(protocol=options, methods=["norm-tuning"])
    (path,) = (tmp_path / "kept").glob("*.safetensors")
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        assert sum(file.get_tensor(n).numel() for n in names) == record["cost"]["trainable_parameters"]
        assert json.loads(file.metadata()["method"])["plugin"] == "norm-tuning"


class Kill(KeyboardInterrupt):
    """What no handler of failed cells catches."""


def test_a_killed_run_goes_on_where_it_was(run, tmp_path, monkeypatch):
    """Killed in the last training's second step: the trials and the first step are not repeated."""
    from harness.learning.training_progress import TrainingProgress

    options = {**SUITE["protocol"], "checkpoint_every": 1}
    methods = [{"plugin": "lora", "rank": 2, "dropout": 0.2}]
    (whole,) = run(protocol=options, methods=methods)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other cache"))
    own, calls = TrainingProgress.add, []

    def counted(progress, *given):
        calls.append(progress.trained.steps)
        if len(calls) == 2 * 3 + 2:
            raise Kill
        own(progress, *given)

    monkeypatch.setattr(TrainingProgress, "add", counted)
    with pytest.raises(Kill):
        run("killed", protocol=options, methods=methods)
    (left,) = (tmp_path / "killed" / "work").rglob("trials.json")
    trials = [accuracy for _, accuracy, _, _ in json.loads(left.read_text())]
    first = len(calls)
    (again,) = run("killed", protocol=options, methods=methods)
    assert again["status"] == "ok", again["reason"]
    assert calls[first:] == [1, 2]
    assert again["metrics"] == whole["metrics"]
    assert again["notes"]["tuning"]["validation_accuracy"] == trials


def test_a_text_head_answers_for_the_weights_that_are_there(network, held):
    """Early stopping puts other weights into the text tower than those it was last judged with."""
    net = network("clip")
    base = collect_base_modules(net)
    torch.manual_seed(1)
    lora.ClipLoRA(dropout=0.0).prepare(net)
    scores = iter([0.9, 0.1])

    def validate():
        with torch.inference_mode():
            net(held.images)
        return next(scores)

    recipe = Recipe(steps=9, batch=6, rate=0.1, patience=1, evaluate_every=1)
    train_network(net, held, recipe, 0, base=base, validate=validate)
    with torch.inference_mode():
        found = net(held.images)
    expected = net(held.images).detach()  # with gradients nothing is kept
    assert torch.allclose(found, expected, atol=1e-4)


def test_back_propagation_stops_in_the_text_tower_even_if_its_embeddings_are_kept(network, images):
    net = network("clip")
    lora.ClipLoRA(towers="text").prepare(net)
    before = costs.find_backprop_stop(net, images)
    with torch.inference_mode():
        net(images)
    assert before[0].startswith("head.clip.transformer.resblocks.0.attn.q")
    assert costs.find_backprop_stop(net, images) == before


def test_what_a_method_takes_out_leaves_the_base(network):
    """A module that is added may stand where one that is gone stood in memory: it is no base module."""
    net = network()
    base = collect_base_modules(net)
    assert set(base) == set(net.modules())
    count = len(base)
    net.backbone.blocks[0].mlp.fc1 = torch.nn.Linear(1, 1)
    gc.collect()
    assert len(base) == count - 1
    assert net.backbone.blocks[0].mlp.fc1 not in base


def test_the_limit_holds_for_shifts_too(run, monkeypatch):
    opened = {}
    from harness.inference import readable

    real = readable.open_readable_split

    def seen(dataset, name, limit, workers, cache):
        split, said = real(dataset, name, limit, workers, cache)
        opened[dataset.label, name] = len(split)
        return split, said

    monkeypatch.setattr("harness.running.worker.open_readable_split", seen)
    for method in ("probe", "lora"):
        opened.clear()
        (record,) = run(store=method, methods=[method], seeds=(0,), limit=40)
        assert record["status"] == "ok", record["reason"]
        assert opened["printed-digits", "test"] == 40


def test_features_are_made_again_after_an_upgrade_of_any_library(run, monkeypatch):
    from harness.inference import features

    computed = []
    real = features.FeatureCache._write
    monkeypatch.setattr(
        features.FeatureCache,
        "_write",
        lambda self, path, tree: computed.append(path) or real(self, path, tree),
    )
    run(store="old", methods=["probe"])
    first = set(computed)
    assert first
    computed.clear()
    run(store="same", methods=["probe"])
    assert not computed
    known = features.environment()
    newer = {**known, "libraries": {**known["libraries"], "pillow": "99.0"}}
    monkeypatch.setattr(features, "environment", lambda: newer)
    run(store="new", methods=["probe"])
    assert len(computed) == len(first)
    assert not first & set(computed)
