"""The protocol few-shot: shots, halves, transfer, embeddings counted, and the published table's averages."""

from __future__ import annotations

import json
import textwrap
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from harness.contract.models import Preparation
from harness.errors import DataError, OptionError
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness.running.worker import RunSettings, Worker
from harness_few_shot.task import find_columns
from harness_prompts.fixed_classifier import FixedClassifier
from harness_prompts.protocol import FewShot
from harness_prompts.shots import harmonic_mean, relabel_rows, split_base_and_new
from harness_prompts.summaries import BaseToNew, FoundPrompts, NearestWords, WordingSensitivity

# CoCoOp, Table 1: base/new/H of CLIP, CoOp and CoCoOp, ViT-B/16, 16 shots
PUBLISHED = """
ImageNet 72.43/68.14/70.22 76.47/67.88/71.92 75.98/70.43/73.10
Caltech 96.84/94.00/95.40 98.00/89.81/93.73 97.96/93.81/95.84
Pets 91.17/97.26/94.12 93.67/95.29/94.47 95.20/97.69/96.43
Cars 63.37/74.89/68.65 78.12/60.40/68.13 70.49/73.59/72.01
Flowers 72.08/77.80/74.83 97.60/59.67/74.06 94.87/71.75/81.71
Food 90.10/91.22/90.66 88.33/82.26/85.19 90.70/91.29/90.99
Aircraft 27.19/36.29/31.09 40.44/22.30/28.75 33.41/23.71/27.74
SUN 69.36/75.35/72.23 80.60/65.89/72.51 79.74/76.86/78.27
DTD 53.24/59.90/56.37 79.44/41.18/54.24 77.01/56.00/64.85
EuroSAT 56.48/64.05/60.03 92.19/54.74/68.69 87.49/60.04/71.21
UCF 70.53/77.50/73.85 84.69/56.05/67.46 82.33/73.45/77.64
"""
AVERAGES = {"CLIP": (69.34, 74.22, 71.70), "CoOp": (82.69, 63.22, 71.66), "CoCoOp": (80.47, 71.69, 75.83)}


def published() -> pd.DataFrame:
    rows = []
    for line in PUBLISHED.split("\n")[1:-1]:
        name, *cells = line.split()
        for method, cell in zip(AVERAGES, cells, strict=True):
            base, new, h = map(float, cell.split("/"))
            rows.append(
                {"model": "B/16", "method": method, "dataset": name, "base": base, "new": new, "H": h}
            )
    return pd.DataFrame(rows)


def test_every_harmonic_mean_of_the_published_table():
    for row in published().itertuples():
        assert harmonic_mean(row.base, row.new) == pytest.approx(row.H, abs=0.0051)


def test_both_averages_of_the_published_table():
    table = published()
    records = table.assign(**{"top1.base": table["base"] / 100, "top1.new": table["new"] / 100})
    found = BaseToNew()(records).set_index(["method", "dataset", "metric"])["value"]
    for method, (base, new, h) in AVERAGES.items():
        assert 100 * found[method, "average", "base"] == pytest.approx(base, abs=0.0051)
        assert 100 * found[method, "average", "new"] == pytest.approx(new, abs=0.0051)
        assert 100 * found[method, "average", "H"] == pytest.approx(h, abs=0.0051)
    assert 100 * found["CoOp", "average", "mean of H"] == pytest.approx(70.83, abs=0.0051)


def test_properties_of_the_harmonic_mean():
    for a in (0.0, 0.2, 0.7, 1.0):
        assert harmonic_mean(a, a) == pytest.approx(a)
        assert harmonic_mean(0.0, a) == 0
        for b in (0.1, 0.9):
            assert harmonic_mean(a, b) <= (a + b) / 2 + 1e-12


@pytest.mark.parametrize("count", [2, 3, 10, 37, 101, 1000])
def test_base_and_new_split_the_classes(count):
    base, new = split_base_and_new(count)
    assert sorted(base + new) == list(range(count))
    assert len(base) == -(-count // 2)
    targets = np.random.default_rng(0).integers(count, size=500)
    rows = []
    for half in (base, new):
        found, labels = relabel_rows(targets, half)
        rows += found.tolist()
        assert [half[label] for label in labels] == targets[found].tolist()
    assert sorted(rows) == list(range(500))


def test_one_class_has_no_halves():
    with pytest.raises(DataError, match="two classes"):
        split_base_and_new(1)


def test_classes_of_one_name_keep_their_own_columns():
    """ImageNet has two missiles, and sunglasses twice: a probe can tell them apart, so its columns may not merge."""
    names = ["missile", "cat", "missile", "dog"]
    logits = torch.arange(8.0).reshape(2, 4)
    fixed = FixedClassifier(names, lambda features: logits)
    assert torch.equal(fixed.logits(logits, names), logits)
    assert find_columns(names, ["dog", "missile"]) == [3, 0]
    assert find_columns(["cat", "dog"], ["dog", "dog", "cat"]) == [1, 1, 0]


class Toy:
    """A data set of flat colours; `rare` gives its second class two training samples."""

    label_space = "toy"
    splits = ("train", "val", "test")

    def __init__(self, name="toy", classes=4, rare=False, splits=splits) -> None:
        self.name, self.classes, self.rare, self.splits = name, classes, rare, splits

    def load(self, split):
        return ToySplit(self, split)


class ToySplit:
    def __init__(self, dataset, split) -> None:
        count = {"train": 20, "val": 6, "test": 10}[split] * dataset.classes
        self.targets = np.arange(count) % dataset.classes
        if dataset.rare and split == "train":
            self.targets = self.targets[(self.targets != 1) | (np.arange(count) < 8)]
        self.ids = [f"{dataset.name}-{split}-{i}" for i in range(len(self.targets))]
        self.class_names = [f"colour {i}" for i in range(dataset.classes)]
        self.templates = ["a {}.", "the {}."]
        self._split, self._dataset = split, dataset

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        from harness.contract.data import Sample

        OPENED[self.ids[i]] += 1
        noise = np.random.default_rng(hash((self._split, i)) % 2**31).integers(0, 90, (8, 8, 3))
        image = noise.astype(np.uint8)
        image[..., int(self.targets[i]) % 3] += np.uint8(60 + 30 * self.targets[i])
        return Sample(self.ids[i], image, int(self.targets[i]))


OPENED: Counter[str] = Counter()
ENCODED: Counter[str] = Counter()


class ToyModel:
    """Pixels projected at random, and texts by the sum of their letters: frozen, and it counts its work."""

    logit_scale = 10.0
    preparation = Preparation(resize=8, crop=8)

    def load(self, device):
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(8 * 8 * 3, 8, generator=generator)

    def prepare(self, image):
        return torch.from_numpy(np.asarray(image).copy()).float().permute(2, 0, 1) / 255

    def encode_image(self, images):
        ENCODED["images"] += len(images)
        return images.flatten(1) @ self.weight

    def encode_text(self, texts):
        ENCODED["texts"] += len(texts)
        rows = [torch.randn(8, generator=torch.Generator().manual_seed(sum(map(ord, t)))) for t in texts]
        return torch.stack(rows)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a suite of toy parts in a store of its own and gives its records."""
    from harness.discovery import registry

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_local", {})
    registry.register("models", "toy-model", ToyModel)
    registry.register("datasets", "toy", Toy)
    OPENED.clear()
    ENCODED.clear()

    def go(text: str, worker: Worker | None = None):
        import tomllib

        given = {"name": "t", "models": ["toy-model"], "datasets": ["toy"], "metrics": ["top1"]}
        plan = make_plan(suites.parse_suite({**given, **tomllib.loads(textwrap.dedent(text))}))
        skipped = {p.cell.shown: p.reason for p in plan if p.state != "run"}
        worker = worker or Worker(RunSettings(store=tmp_path / "store", device="cpu"))
        records = [worker.run(p.cell) for p in plan if p.state == "run"]
        assert [r.reason for r in records if r.status != "ok"] == []
        return records, skipped, worker

    yield go
    registry.refresh()


def test_five_prompt_sets_open_and_encode_each_image_once(run):
    text = """
    protocol = "few-shot"
    methods = [
      { plugin = "template", label = "1" }, { plugin = "ensemble", label = "2" },
      { plugin = "ensemble", label = "3", templates = ["a {}.", "x {}"] },
      { plugin = "ensemble", label = "4", combine = "logits" },
      { plugin = "ensemble", label = "5", templates = ["a photo of a {}.", "y {}"] },
    ]
    """
    records, _, _ = run(text)
    assert len(records) == 5
    assert set(OPENED.values()) == {1}
    assert len(OPENED) == ENCODED["images"] == 40
    assert ENCODED["texts"] == 4 * len({"a photo of a {}.", "a {}.", "the {}.", "x {}", "y {}"})
    ENCODED.clear()
    again, _, _ = run(text)  # another process would find the embeddings on disk just so
    assert ENCODED["images"] == 0
    assert ENCODED["texts"] == 20
    assert [r.metrics for r in again] == [r.metrics for r in records]


FEW = """
protocol = "few-shot"
seeds = [0, 1]
axes = { shots = [1, 4] }
methods = ["linear-probe", "tip-adapter", "template-selection"]
"""


def test_every_method_sees_the_same_shots_and_says_what_it_chose_on(run):
    records, _, _ = run(FEW)
    for record in records:
        shots = record.coordinates["shots"]
        assert record.notes["training_samples"] == 4 * shots
        assert record.notes["fitted_on"] == "kept embeddings"
        assert record.notes["validation_samples"] == 4 * min(shots, 4)
        assert record.notes["selected_on"] in ("validation shots", "training shots")
        assert record.count == 40
    train = {i for i in OPENED if "-train-" in i}
    assert len(train) <= 2 * 16 * 4  # two seeds, each one pool, whatever methods and shots there are
    assert max(v for k, v in OPENED.items() if "-test-" in k) == 1


def test_a_class_with_fewer_samples_gives_what_it_has(run):
    records, _, _ = run('datasets = [{ plugin = "toy", rare = true }]\n' + FEW)
    assert {r.notes["training_samples"] for r in records if r.coordinates["shots"] == 4} == {3 * 4 + 2}
    short = "1 of 4 classes have fewer than 4 samples to draw from 'train' (the fewest: 2); all of theirs are taken"
    assert {r.coordinates["shots"] for r in records if short in str(r.notes)} == {4}


def test_without_a_validation_split_the_rest_of_train_validates(run):
    records, _, _ = run('datasets = [{ plugin = "toy", splits = ["train", "test"] }]\n' + FEW)
    assert all(r.notes["validation_samples"] == 4 * min(r.coordinates["shots"], 4) for r in records)
    assert not any("-val-" in i for i in OPENED)


def test_augmented_training_sees_fresh_views_and_nothing_else_does(run, monkeypatch):
    from harness_prompts.methods.clip_adapter import ClipAdapter

    views = []
    fit = ClipAdapter.fit
    monkeypatch.setattr(
        ClipAdapter,
        "fit",
        lambda self, task: views.append([task.views(k) for k in (0, 1, 0)]) or fit(self, task),
    )
    text = 'protocol = "few-shot"\naxes = {{ shots = [2] }}\nmethods = [{{ plugin = "clip-adapter", epochs = 3{} }}]'
    run(text.format(""))
    plain = ENCODED["images"]
    (fresh,), _, _ = run(text.format(", augment = true"))
    assert fresh.notes["fitted_on"] == "fresh random crops and flips of the images"
    assert (
        ENCODED["images"] - plain == (3 + 3) * 8
    )  # three views here, one per epoch, of 2 shots of 4 classes
    a, b, again = views[0]
    assert torch.equal(a, again)
    assert not torch.allclose(a, b, atol=1e-3)
    assert torch.allclose(a.norm(dim=1), torch.ones(8))


def test_no_test_sample_is_opened_before_the_method_is_fitted(run, monkeypatch):
    from harness_prompts.methods.tip_adapter import TipAdapter

    opened: list[int] = []
    fit = TipAdapter.fit
    monkeypatch.setattr(
        TipAdapter,
        "fit",
        lambda self, task: opened.append(sum("-test-" in i for i in OPENED)) or fit(self, task),
    )
    run('protocol = "few-shot"\naxes = { shots = [2] }\nmethods = ["tip-adapter"]')
    assert opened == [0]
    assert sum("-test-" in i for i in OPENED) == 40


def test_base_to_new_scores_each_half_among_its_own_names(run, tmp_path):
    records, skipped, worker = run(
        """
        protocol = { plugin = "few-shot", classes = "base-to-new" }
        axes = { shots = [4] }
        datasets = [{ plugin = "toy", classes = 5 }]
        methods = ["template", "clip-adapter", "linear-probe"]
        """
    )
    assert list(skipped.values()) == ["the method 'linear-probe' can't name classes it was not fitted on"]
    for record in records:
        m = record.metrics
        assert m["H"] == pytest.approx(harmonic_mean(m["top1.base"], m["top1.new"]))
        assert record.notes["fitted_classes"] == 3
        samples = worker.store.samples(record.id)
        base = samples[samples["half"] == "base"]
        assert set(base["prediction"]) <= {0, 1, 2}
        assert set(samples[samples["half"] == "new"]["prediction"]) <= {3, 4}
        assert (base["prediction"] == base["target"]).mean() == pytest.approx(m["top1.base"])
        assert len(samples) == 50
    assert records[1].notes["training_samples"] == 12


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([-1, 0, 1, 2], "has label -1, the class list has 4 entries"),
        ([0, 4, 1, 2], "has label 4, the class list has 4 entries"),
        ([[1, 0, 0, 0]] * 4, "several labels"),
        ([0, 1, 1, 0], "'test' has no samples of the classes"),
    ],
)
def test_labels_that_are_no_class_are_told_and_not_counted(run, monkeypatch, labels, says):
    given = ToySplit.__init__

    def relabelled_split(self, dataset, split):
        given(self, dataset, split)
        if split == "test":
            self.ids, self.targets = self.ids[:4], np.array(labels)

    monkeypatch.setattr(ToySplit, "__init__", relabelled_split)
    with pytest.raises(AssertionError, match=says):  # the fixture's, on the reason of a failed cell
        run('protocol = { plugin = "few-shot", classes = "base-to-new" }\nmethods = ["template"]')


def test_logits_that_are_not_finite_are_no_measurement(run, monkeypatch):
    from harness_prompts.methods.zero_shot import PromptClassifier

    given = PromptClassifier.logits
    monkeypatch.setattr(
        PromptClassifier, "logits", lambda self, features, names: given(self, features, names) * float("nan")
    )
    for options in ('classes = "base-to-new"', 'evaluate_on = ["toy"]'):
        with pytest.raises(AssertionError, match="not finite"):
            run(f'protocol = {{ plugin = "few-shot", {options} }}\nmethods = ["template"]')


def test_nothing_is_fitted_or_chosen_on_what_is_evaluated():
    for option in ("train", "validation"):
        with pytest.raises(OptionError, match=f"{option} can't be 'test'"):
            FewShot(**{option: "test"})


def test_transfer_evaluates_the_same_fit_elsewhere(run):
    records, _, _ = run(
        """
        protocol = { plugin = "few-shot", evaluate_on = [
          { plugin = "toy", label = "same" }, { plugin = "toy", name = "other", classes = 3, label = "other" },
        ] }
        axes = { shots = [2] }
        methods = ["template", "linear-probe", "clip-adapter"]
        """
    )
    for record in records:
        m = record.metrics
        assert m["top1.same"] == m["top1"]
        assert m["top1.mean"] == pytest.approx((m["top1.same"] + m["top1.other"]) / 2)
        assert record.directions["top1.other"]
        assert record.notes["samples.other"] == 30


def test_an_absent_data_set_to_evaluate_on_is_told_before_anything_is_fitted(run, tmp_path):
    records, skipped, _ = run(
        f"""
        protocol = {{ plugin = "few-shot", evaluate_on = [{{ plugin = "imagefolder", path = "{tmp_path / "none"}" }}] }}
        methods = ["template"]
        """
    )
    assert records == []
    assert "evaluate_on" in (reason := next(iter(skipped.values())))
    assert "no such folder" in reason


def test_combinations_that_make_no_sense_are_skipped_with_their_reason(run):
    for shots in ('"all"', "1.5", "-1", "true"):
        _, skipped, _ = run(
            f'protocol = "few-shot"\nmethods = ["linear-probe"]\naxes = {{ shots = [{shots}] }}'
        )
        assert "shots must be a whole number of samples per class" in next(iter(skipped.values()))
    _, skipped, _ = run('protocol = "few-shot"\nmethods = ["coop", "linear-probe", "template"]')
    assert sorted(skipped.values()) == [
        "learned contexts need a model that exposes its open_clip text tower (here: model 'toy-model', method 'coop')",
        "the method 'linear-probe' needs shots: give the axis `shots`",
    ]
    _, skipped, _ = run(
        'protocol = "few-shot"\naxes = { shots = [1] }\nmethods = ["linear-probe", "template"]\n'
        'datasets = [{ plugin = "toy", splits = ["test"] }]'
    )
    assert list(skipped.values()) == ["the data set 'toy' has no split 'train' to draw shots from"]
    assert "needs a prompt method" in FewShot().cannot(ToyModel(), Toy(), None, {})


def test_sensitivity_names_the_best_and_the_worst_wording():
    records = pd.DataFrame(
        [{"model": "m", "dataset": "d", "method": f"t{i}", "top1": v} for i, v in enumerate([0.2, 0.5, 0.8])]
    )
    found = WordingSensitivity()(records).set_index("metric")
    assert found["value"].to_dict() == pytest.approx(
        {"mean": 0.5, "spread": 0.3, "best": 0.8, "worst": 0.2, "range": 0.6}
    )
    assert (found["note"]["best"], found["note"]["worst"]) == ("t2", "t0")


class Kept:
    """A store that knows two records' notes."""

    def read(self, id):
        notes = {
            "a": {"nearest_words": [[("photo", 0.1), ("of", 0.2)]]},
            "b": {"best_prompt": "p", "history": [{"prompt": "p", "accuracy": 0.5, "loss": 1.5, "step": 3}]},
        }
        return type("R", (), {"notes": notes[id]})()


def test_words_and_prompts_are_read_from_the_records_notes():
    records = pd.DataFrame(
        [{"id": i, "model": "m", "method": i, "dataset": "d", "shots": 16, "seed": 0} for i in "ab"]
    )
    words = NearestWords()(records, Kept()).to_dict("records")
    assert [(w["vector"], w["words"], w["value"]) for w in words] == [(1, "photo, of", 0.1)]
    prompts = FoundPrompts()(records, Kept()).set_index("metric")["value"].to_dict()
    assert prompts == {"accuracy": 0.5, "loss": 1.5, "step": 3}
    json.dumps(words)
