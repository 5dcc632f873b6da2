"""Stores of shipped suites with made-up results: the coordinates of their plans, and nothing run."""

import hashlib
from pathlib import Path

import numpy as np

import harness_detection
import harness_fusion
import harness_gan
import harness_peft
import harness_prompts
import harness_robustness
import harness_segmentation
from harness.leaderboard.frame import suite_frame
from harness.planning.patterns import matches
from harness.planning.plan import make_plan
from harness.planning.suite import load_suite_file
from harness.plotting.draw import draw_plots
from harness.records.record import make_blank
from harness.records.store import Store

PACKAGES = (
    harness_robustness,
    harness_prompts,
    harness_peft,
    harness_gan,
    harness_fusion,
    harness_detection,
    harness_segmentation,
)

CURVES = {
    "training": (
        "loss",
        "validation_loss",
        "weighted_f1",
        "g_loss",
        "d_loss",
        "d_real",
        "d_fake",
        "d_accuracy",
        "d_gradient",
    ),
    "coverage": ("covered", "high_quality", "reverse_kl", "at_0.1", "at_0.5"),
    "search": ("best_accuracy",),
}
CLASSES = (
    "circle",
    "square",
    "triangle",
    "star",
    "cross",
    "ring",
    "heart",
    "arrow",
    "moon",
    "house",
    "tree",
    "fish",
)


def list_suites_with_plots():
    files = [f for package in PACKAGES for f in sorted(Path(package.__file__).parent.glob("*.toml"))]
    return [f.stem for f in files if load_suite_file(f.stem).plots]


def fraction(*key):
    """A number in [0, 1) that depends on the key alone."""
    return int(hashlib.sha256(repr(key).encode()).hexdigest()[:8], 16) / 16**8


def make_store(name, path):
    """Write a record for each cell that a plot of the suite shows; return the suite, its frame and the store."""
    suite = load_suite_file(name)
    cells = [p.cell for p in make_plan(suite)]
    # two seeds have everything that more have
    seeds = list(dict.fromkeys(c.seed for c in cells))[:2]
    store = Store(path)
    with store.writing():
        cells = [c for c in cells if c.seed in seeds and any(_shows(spec, c) for spec in suite.plots)]
        for cell in cells:
            kinds = {spec.kind for spec in suite.plots if _shows(spec, cell)}
            _write_made_up(store, cell, kinds)
    listed = [{"id": c.id, "at": c.coordinates, "tags": c.tags} for c in cells]
    store.write_manifest(suite.model_dump(mode="json"), listed)
    return suite, suite_frame(store, name), store


def draw_made_up(name, path):
    suite, data, store = make_store(name, path)
    return suite, data, draw_plots(suite, data, store)


def _shows(spec, cell):
    found = {**cell.coordinates, **{f"tag.{k}": v for k, v in cell.tags.items()}}
    return all(
        matches(pattern, found.get(name, found.get(f"tag.{name}"))) for name, pattern in spec.where.items()
    )


def _write_made_up(store, cell, kinds):
    at = cell.coordinates
    who, where = (at["model"], at.get("method")), at["dataset"]
    harder = 0.06 * float(cell.tags.get("dataset.severity") or 0)
    gain = 0.05 * np.log2(float(at.get("shots") or 1))
    # crowded on purpose: most configurations are within a few points
    value = 0.5 + 0.25 * fraction(who) + 0.1 * fraction(where) + gain * fraction(who, 1) - harder
    value = float(np.clip(value + 0.02 * fraction(who, at["seed"]), 0.02, 0.98))
    record = make_blank(cell, "ok")
    record.metrics = {"top1": value, "weighted_f1": value}
    dense = at["protocol"] in ("detection", "segmentation")
    if at["protocol"] == "detection":
        parts = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
        record.metrics = {"boxes.AP": value} | {f"TIDE.{p}": 0.2 * fraction(who, p) for p in parts}
    if at["protocol"] == "segmentation":
        record.metrics = {"miou": value}
    record.directions = dict.fromkeys(record.metrics, True)
    record.units = dict.fromkeys(record.metrics, "fraction")
    record.count = 500
    size = 10 ** (3 + 3 * round(fraction(who, 2), 1))
    record.cost = {"parameters": size, "trainable_parameters": size, "trainable_without_head": size}
    record.cost["training_seconds"] = 4 + 6 * fraction(who, 3)
    record.cost["latency_ms"] = 5 + 50 * fraction(who, 4)
    samples, curves, images = None, {}, {}
    if "precision-recall" in kinds:
        recall = np.linspace(0, 1, 101)
        names = [f"precision_{n}" for n in range(50, 100, 5)]
        curves["precision-recall"] = {"recall": recall.tolist()} | {
            name: np.where(recall < value + 0.2, 1 - recall**2 * value, 0).tolist() for name in names
        }
    if "confusion" in kinds and dense:
        record.notes["class_names"] = list(CLASSES)
        places = np.arange(-1, len(CLASSES))
        pairs = {"target": places, "prediction": np.roll(places, 1), "count": places + 2}
        curves["confusion"] = {name: values.astype(float).tolist() for name, values in pairs.items()}
    elif "confusion" in kinds:
        names = CLASSES if "scenes" in where else ("negative", "neutral", "positive")
        record.notes["class_names"] = list(names)
        target = np.arange(120) % len(names)
        right = np.arange(120) % 10 < 10 * value
        prediction = np.where(right, target, (target + 1 + np.arange(120) // 9) % len(names))
        samples = {"id": [str(n) for n in range(120)], "target": target, "prediction": prediction}
    if "training" in kinds:
        steps = np.arange(1.0, 20 + 10 * fraction(who, at["seed"]))
        for curve, columns in CURVES.items():
            curves[curve] = {"step": steps.tolist()} | {
                c: (fraction(who, c) + np.exp(-steps / 9) + 0.2 * fraction(c, at["seed"])).tolist()
                for c in columns
            }
    if "image-grid" in kinds:
        name = {"detection": "most-misses-1", "segmentation": "most-wrong-1"}.get(at["protocol"], "samples")
        images = {name: np.full((32, 32, 3), int(255 * fraction(who)), np.uint8)}
    store.write(record, samples, curves or None, images or None)
