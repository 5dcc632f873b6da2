"""Whatever is done to data on disk, the number is that of what lies there now, and no row is lost."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import harness
from harness.discovery import content, registry

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
SIZE = (8, 8)


class Bright:
    """Says class 1 of a bright image and class 0 of a dark one."""

    label_space = "brightness"

    def __init__(self) -> None:
        self.asked = 0

    def load(self, device: object) -> None: ...

    def prepare(self, image: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(harness.decode(image), np.float32))

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean(dim=(1, 2, 3)) / 255
        return torch.stack([1 - mean, mean], dim=1)


class Share:
    """The share of samples whose label the model tells, through the cache of features."""

    def run(self, job: harness.Job) -> harness.Result:
        split = job.splits(job.dataset.splits[0])
        logits, _ = harness.outputs(job, "logits", job.dataset.splits[0])
        right = logits.argmax(axis=1) == np.asarray(split.targets)
        return harness.Result({"share": float(right.mean())}, count=len(right))


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    harness.register("models", "bright", Bright)
    harness.register("protocols", "share", Share)
    yield
    monkeypatch.undo()
    registry.refresh()


def numbers(store: Path, *datasets: dict[str, Any], **options: Any) -> dict[str, float]:
    suite = {"name": "s", "protocol": "share", "models": ["bright"], "datasets": list(datasets)}
    outcome = harness.run(suite, store=store, device="cpu", **options)
    assert not outcome.failed, [r.reason for r in outcome.failed]
    frame = outcome.frame()
    return dict(zip(frame["at.dataset"], frame["metric.share"], strict=True))


def paint(path: Path, bright: bool, keep_times: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = path.stat() if keep_times else None
    held = io.BytesIO()
    image = Image.new("RGB", SIZE, WHITE if bright else BLACK)
    kind = {".pgm": "ppm", ".tif": "tiff"}.get(path.suffix, path.suffix[1:])
    image.convert("L" if path.suffix == ".pgm" else "RGB").save(held, kind)
    path.write_bytes(held.getvalue())
    if facts is not None:
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


STEP = st.tuples(
    st.sampled_from(["paint", "swap", "copy", "remove", "rename"]), st.integers(0, 5), st.integers(0, 5)
)


@settings(max_examples=25)
@given(
    suffix=st.sampled_from([".bmp", ".ppm", ".pgm", ".tif", ".png"]),
    steps=st.lists(STEP, min_size=1, max_size=4),
)
def test_a_folder_that_is_changed_gets_its_own_number(
    suffix: str, steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("folder")
    bright = {f"{c}/{n}{suffix}": c == "light" for c in ("dark", "light") for n in range(3)}
    names = sorted(bright)
    for name, value in bright.items():
        paint(root / "d" / name, value)
    given = {"plugin": "imagefolder", "path": str(root / "d"), "label": "d"}
    for step in [None, *steps]:
        if step is not None:
            kind, one, two = step[0], names[step[1]], names[step[2]]
            if one not in bright or two not in bright:
                continue
            if kind == "paint":
                bright[one] = not bright[one]
                paint(root / "d" / one, bright[one], keep_times=True)
            elif kind == "swap":
                for name, value in ((one, bright[two]), (two, bright[one])):
                    bright[name] = value
                    paint(root / "d" / name, value, keep_times=True)
            elif kind == "copy":
                bright[one] = bright[two]
                (root / "d" / one).write_bytes((root / "d" / two).read_bytes())
            elif kind == "remove" and len([n for n in bright if n.split("/")[0] == one.split("/")[0]]) > 1:
                del bright[one]
                (root / "d" / one).unlink()
            elif kind == "rename":
                other = one.split("/")[0] + "/x" + one.split("/")[1]
                bright[other] = bright.pop(one)
                (root / "d" / one).rename(root / "d" / other)
        expected = np.mean([value == name.startswith("light") for name, value in bright.items()])
        assert numbers(root / "store", given) == {"d": pytest.approx(expected)}


def test_two_folders_of_one_content_keep_both_rows_and_say_so(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for n in range(2):
            paint(tmp_path / name / "dark" / f"{n}.bmp", bright=n == 1)
    both = [{"plugin": "imagefolder", "path": str(tmp_path / n), "label": n} for n in "ab"]
    assert numbers(tmp_path / "store", *both) == {"a": 0.5, "b": 0.5}
    plan = harness.plan(
        {"name": "s", "protocol": "share", "models": ["bright"], "datasets": both}, store=tmp_path / "store"
    )
    assert plan.counts() == {"done": 2}
    assert "data set 'b' is the same as 'a' in all that decides results" in plan.remarks[0]
    paint(tmp_path / "b" / "dark" / "0.bmp", bright=True)
    assert numbers(tmp_path / "store", *both) == {"a": 0.5, "b": 0.0}


def shard(path: Path, labels: list[int]) -> None:
    """Shards of samples of which every other is bright; names and sizes are the same whatever the labels."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "nshards.txt").write_text("1")
    with tarfile.open(path / "0.tar", "w") as tar:
        for n, label in enumerate(labels):
            held = io.BytesIO()
            Image.new("RGB", SIZE, WHITE if n % 2 else BLACK).save(held, "PNG")
            for extension, data in (("png", held.getvalue()), ("cls", b"%d" % label)):
                info = tarfile.TarInfo(f"{n:04d}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_a_shard_of_other_labels_gets_its_own_number(tmp_path: Path) -> None:
    given = {"plugin": "webdataset", "path": str(tmp_path / "w"), "label": "w"}
    labels = [n % 2 for n in range(400)]
    for wrong in (0, 52, 0, 1):
        changed = [1 - v if 200 <= n < 200 + wrong else v for n, v in enumerate(labels)]
        shard(tmp_path / "w" / "test", changed)
        expected = 1 - wrong / 400
        assert numbers(tmp_path / "store", given) == {"w": pytest.approx(expected)}


def test_arrays_and_their_labels(tmp_path: Path) -> None:
    given = {"plugin": "arrays", "path": str(tmp_path), "label": "a"}
    images = np.zeros((40, 64, 64, 3), np.uint8)  # beyond what used to be sampled
    images[20:] = 255
    labels = np.repeat([0, 1], 20)
    for wrong in (0, 1, 13):
        changed = labels.copy()
        changed[5 : 5 + wrong] = 1
        np.save(tmp_path / "images.npy", images)
        np.save(tmp_path / "labels.npy", changed)
        assert numbers(tmp_path / "store", given) == {"a": pytest.approx(1 - wrong / 40)}


@pytest.mark.parametrize("changed", ["t/2.txt", "images/2.png", "train.csv"])
def test_a_folder_of_pairs_is_known_by_tables_images_and_texts(tmp_path: Path, changed: str) -> None:
    from harness_data.pairs import Pairs

    (tmp_path / "t").mkdir()
    for n in range(3):
        paint(tmp_path / "images" / f"{n}.png", bright=True)
        (tmp_path / "t" / f"{n}.txt").write_text("good")
    (tmp_path / "train.csv").write_text("id,label\n0,a\n1,b\n2,a\n")
    before = Pairs(tmp_path).fingerprint()
    file = tmp_path / changed
    facts, held = file.stat(), file.read_bytes()
    file.write_bytes(held[:-4] + held[-1:] + held[-3:])
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert Pairs(tmp_path).fingerprint() != before
    file.write_bytes(held)
    assert Pairs(tmp_path).fingerprint() == before


def test_what_was_found_of_an_image_does_not_outlive_it(tmp_path: Path) -> None:
    from harness_data.pairs import Pairs

    for n in range(2):
        paint(tmp_path / f"{n}.bmp", bright=True)
        (tmp_path / f"{n}.txt").write_text("good")
    (tmp_path / "labels.csv").write_text("id,label\n0,a\n1,b\n")
    assert Pairs(tmp_path).load("all").has_image.tolist() == [True, True]
    file = tmp_path / "1.bmp"
    facts, held = file.stat(), file.read_bytes()
    file.write_bytes(b"x" * len(held))
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert Pairs(tmp_path).load("all").has_image.tolist() == [True, False]


def test_data_that_changes_after_the_plan_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "d" / "dark" / "0.bmp"
    paint(file, bright=False)

    class Late(Share):
        def run(self, job: harness.Job) -> harness.Result:
            paint(file, bright=True)
            return super().run(job)

    harness.register("protocols", "late", Late)
    suite = {"name": "s", "protocol": "late", "models": ["bright"],
             "datasets": [{"plugin": "imagefolder", "path": str(tmp_path / "d"), "label": "d"}]}  # fmt: skip
    outcome = harness.run(suite, store=tmp_path / "store", device="cpu")
    assert [r.status for r in outcome.records] == ["failed"]
    assert "d: changed after the run was planned" in str(outcome.records[0].reason)
    assert numbers(tmp_path / "store", suite["datasets"][0]) == {"d": 0.0}


def test_workers_refuse_what_is_not_what_was_planned(tmp_path: Path) -> None:
    import pickle

    from harness.discovery import parts
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import Reference

    file = tmp_path / "d" / "dark" / "0.bmp"
    paint(file, bright=False)
    part = Resolver().resolve(
        "datasets", Reference("imagefolder", {"path": str(tmp_path / "d")}, label="d"), "x"
    )
    again = pickle.loads(pickle.dumps(part))
    assert (again.identity, again.problem) == (part.identity, None)
    parts._resolver.cache_clear()  # as in a process that starts now
    paint(file, bright=True)
    assert "changed after the run was planned" in pickle.loads(pickle.dumps(part)).problem
    newer = Resolver().resolve(
        "datasets", Reference("imagefolder", {"path": str(tmp_path / "d")}, label="d"), "x"
    )
    assert newer.identity != part.identity
    assert pickle.loads(pickle.dumps(newer)).problem is None


def test_trusting_times_is_another_identity_and_is_remarked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "d" / "dark" / "0.bmp"
    paint(file, bright=False)
    given = {"plugin": "imagefolder", "path": str(tmp_path / "d"), "label": "d"}
    suite = {"name": "s", "protocol": "share", "models": ["bright"], "datasets": [given]}
    content._memory.clear()
    with monkeypatch.context() as patched:
        patched.setattr(
            "harness.discovery.content_reading.read_entry", lambda *_: pytest.fail("a file was read")
        )
        plan = harness.plan(suite, store=tmp_path / "store", trust_mtime=True)
    said = "d: known by names, sizes and times of change, not by content (--trust-mtime)"
    assert plan.remarks == [said]
    assert plan.cells[0].cell.id != harness.plan(suite, store=tmp_path / "store").cells[0].cell.id
    outcome = harness.run(suite, store=tmp_path / "store", device="cpu", trust_mtime=True)
    assert outcome.records[0].remarks == [said]
    assert outcome.records[0].metrics == {"share": 1.0}
    assert "HARNESS_TRUST_MTIME" not in os.environ
    wrapped = {"plugin": "corrupted", "dataset": given, "corruption": "fog", "label": "foggy"}
    plan = harness.plan({**suite, "datasets": [wrapped]}, store=tmp_path / "store", trust_mtime=True)
    assert plan.remarks == [
        "foggy: known by names, sizes and times of change, not by content (--trust-mtime)"
    ]


@pytest.mark.parametrize("make", [dict, lambda: {"layout": "flat"}])
def test_files_that_are_left_out_do_not_matter(tmp_path: Path, make: Callable[[], dict[str, Any]]) -> None:
    from harness_data.image_folder import ImageFolder

    paint(tmp_path / "dark" / "0.bmp", bright=False)
    before = ImageFolder(tmp_path, **make()).fingerprint()
    (tmp_path / "dark" / "notes.txt").write_text("x")
    assert ImageFolder(tmp_path, **make()).fingerprint() == before
