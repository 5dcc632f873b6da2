"""CoOp's split files: read as they are, damaged ones refused by name, and the suites that use them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from harness.errors import DataError
from harness.inference.images import decode
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness_data.coop_split import PLACES, CoOpSplit
from harness_few_shot.templates import COOP_TEMPLATES


@pytest.fixture
def root(tmp_path):
    file, images = (tmp_path / place for place in PLACES["eurosat"])
    (images / "River").mkdir(parents=True)
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    for n, colour in enumerate(colours):
        Image.new("RGB", (8, 8), colour).save(images / "River" / f"{n}.png")
    split = {
        "train": [["River/0.png", 1, "River"], ["River/1.png", 0, "Sea or_Lake"]],
        "val": [["River/1.png", 0, "Sea or_Lake"]],
        "test": [["River/2.png", 1, "River"]],
    }
    file.write_text(json.dumps(split))
    return tmp_path


def test_a_split_file_is_read_as_it_is(root):
    data = CoOpSplit("eurosat", root)
    assert data.unavailable() is None
    train, test = data.load("train"), data.load("test")
    assert train.ids == ["River/0.png", "River/1.png"]
    assert train.targets.tolist() == [1, 0]
    assert train.class_names == ["Sea or Lake", "River"] == test.class_names
    assert test.templates == ["a centered satellite photo of {}."]
    assert np.asarray(decode(test[0].image))[0, 0].tolist() == [0, 0, 250]
    with pytest.raises(DataError, match="did you mean 'test'"):
        data.load("tst")


def test_other_places_can_be_given(root, tmp_path):
    file, images = (root / place for place in PLACES["eurosat"])
    data = CoOpSplit("mine", split_file=file, images=images)
    assert data.unavailable() is None
    assert data.load("val").templates == ["a photo of a {}."]
    assert data.fingerprint() == CoOpSplit("eurosat", root).fingerprint()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: s.pop("val"), "train, val and test"),
        (lambda s: s["test"].append(["a", "1", "b"]), "entry 1"),
        (lambda s: s["test"].append(["../../etc/x", 1, "River"]), "leaves the folder"),
        (lambda s: s["test"].append(["River/0.png", 1, "Lake"]), "both 'River' and 'Lake'"),
        (lambda s: s["test"].append(["River/0.png", 5, "Lake"]), "not 0 to 2"),
    ],
)
def test_damaged_files_are_refused(root, change, why):
    file = root / PLACES["eurosat"][0]
    split = json.loads(file.read_text())
    change(split)
    file.write_text(json.dumps(split))
    with pytest.raises(DataError, match=why):
        CoOpSplit("eurosat", root).load("test")


def test_what_is_missing_is_told(root, tmp_path, monkeypatch):
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    assert "no data root" in CoOpSplit("dtd").unavailable()
    assert "no such split file" in CoOpSplit("dtd", root).unavailable()
    assert "did you mean 'eurosat'" in CoOpSplit("eurosatt", root).unavailable()
    (root / PLACES["eurosat"][1] / "River" / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png: can't be read"):
        CoOpSplit("eurosat", root).load("test")[0]


@pytest.mark.parametrize("name", ["prompts", "prompts-coop11", "prompts-imagenet"])
def test_the_suites_plan_and_no_part_is_broken(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path))
    suite = suites.load_suite_file(name)
    plan = make_plan(suite)
    assert [p.reason for p in plan if p.state == "broken"] == []
    seeds = {c.cell.seed for c in plan if c.cell.axes}
    assert len(seeds) >= 3
    known = {e.name for e in suite.experiments}
    for table in suite.tables:
        where = table.where["experiment"]
        assert {where} <= known if isinstance(where, str) else set(where) <= known


def test_coop11_names_all_eleven():
    plan = make_plan(suites.load_suite_file("prompts-coop11"))
    assert {p.cell.dataset.label for p in plan} == set(COOP_TEMPLATES)
    assert set(PLACES) | {"imagenet", "fgvc_aircraft"} == set(COOP_TEMPLATES)


def test_the_images_take_part_in_the_fingerprint(root):
    before = CoOpSplit("eurosat", root=root).fingerprint()
    Image.new("RGB", (8, 8), (251, 0, 0)).save(root / PLACES["eurosat"][1] / "River" / "0.png")
    assert CoOpSplit("eurosat", root=root).fingerprint() != before
