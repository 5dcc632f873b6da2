"""The shipped suites: the plan without data, and all tables of `attributes-awa2` on a small copy of its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import harness
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness_data.awa2 import AwA2
from harness_embedded.scene_attributes import SceneAttributes
from harness_metrics.class_tree import find_tree, read_class_tree

UNSEEN = ("polar+bear", "giraffe")
CLASSES = ("otter", "polar+bear", "zebra", "giraffe", "horse", "moose")
BITS = ((0, 0, 1, 1), (1, 1, 0, 0), (1, 0, 1, 0), (0, 1, 0, 1), (1, 1, 1, 0), (0, 0, 0, 1))
PER_CLASS = 4


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes with four attributes, both splits with the same unseen classes."""
    root = tmp_path_factory.mktemp("data")
    base, rng = root / "Animals_with_Attributes2", np.random.default_rng(0)
    names = [f"{name}/{name}_{n}.jpg" for name in CLASSES for n in range(PER_CLASS)]
    for name in names:
        path = base / "JPEGImages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
    table = "\n".join(" ".join(map(str, row)) for row in BITS)
    for file, text in {
        "classes.txt": "\n".join(f"{n}\t{name}" for n, name in enumerate(CLASSES, 1)),
        "predicates.txt": "\n".join(f"{n}\tattribute{n}" for n in range(1, 5)),
        "predicate-matrix-binary.txt": table,
        "predicate-matrix-continuous.txt": table,
        "trainclasses.txt": "\n".join(name for name in CLASSES if name not in UNSEEN),
        "testclasses.txt": "\n".join(UNSEEN),
    }.items():
        (base / file).write_text(text + "\n")
    cells = np.empty((len(names), 1), object)
    cells[:, 0] = [f"/elsewhere/JPEGImages/{name}" for name in names]
    labels = np.repeat(np.arange(len(CLASSES)), PER_CLASS)
    unseen = np.isin(labels, [CLASSES.index(name) for name in UNSEEN])
    held = np.arange(len(names)) % PER_CLASS == 0
    parts = {"trainval_loc": ~unseen & ~held, "test_seen_loc": ~unseen & held, "test_unseen_loc": unseen}
    places = {key: np.flatnonzero(rows)[:, None] + 1 for key, rows in parts.items()}
    own = np.empty((len(CLASSES), 1), object)
    own[:, 0] = CLASSES
    folder = root / "xlsa17" / "data" / "AWA2"
    folder.mkdir(parents=True)
    savemat(folder / "att_splits.mat", {"allclasses_names": own, **places})
    savemat(folder / "res101.mat", {"image_files": cells, "labels": labels[:, None] + 1.0})
    return root


def test_every_cell_is_skipped_with_what_is_missing(monkeypatch):
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    plan = make_plan(suites.load_suite_file("attributes-awa2"))
    assert plan.counts() == {"skipped": len(plan)}
    assert all("get AwA2-base.zip" in planned.reason for planned in plan)


@pytest.mark.parametrize("name", ["attributes", "attributes-awa2"])
def test_the_text_classifier_stands_beside_the_attribute_methods(name):
    methods = {planned.cell.method.label for planned in make_plan(suites.load_suite_file(name))}
    assert methods == {"DAP", "IAP", "names (zero-shot)"}


def test_packaged_trees_have_the_classes_of_their_data_sets(data_root, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    scenes = read_class_tree(find_tree("scenes"))
    scenes.match(SceneAttributes(train=1, test=1).load("test-unseen").class_names)
    tree = read_class_tree(find_tree("awa2"))
    matched = tree.match(AwA2(data_root).class_names)
    assert matched.paths[0] == ("Carnivora", "Mustelidae", "otter")
    leaves = [name for name, height in tree.heights.items() if height == 0]
    assert len(leaves) == 50


def test_all_tables_can_be_made(data_root, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(data_root))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    planned = suites.load_suite_file("attributes-awa2").model_dump()
    planned["models"] = [
        {"plugin": "tiny-resnet", "label": "ResNet-101", "steps": 0},
        {"plugin": "tiny-clip", "label": "CLIP B/32", "tower": "vit", "steps": 0},
    ]
    run = harness.run(planned, store=tmp_path / "store", device="cpu", executor="inline")
    assert {(r.coordinates["dataset"], r.reason) for r in run.records if r.status != "ok"} == set()
    for table in run.tables():
        assert table.rows, table.name
        missing = [n for n in table.footnotes if n.startswith(("not available", "no value"))]
        assert not missing, (table.name, missing)
    notes = {note for table in run.tables() for note in table.footnotes}
    assert any("the standard split: some of its unseen classes" in note for note in notes)
