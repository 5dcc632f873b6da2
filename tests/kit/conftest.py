"""A cache of the kit's tests' own, shared by all of them, and small files of every layout that data sets read."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PLANTED = Path(__file__).parent / "planted"


@pytest.fixture(autouse=True, scope="session")
def kit_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is trained or drawn is made once for all tests of this folder."""
    folder = tmp_path_factory.mktemp("kit-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder))
        patch.delenv("HARNESS_DATA_ROOT", raising=False)
        yield folder


@pytest.fixture(autouse=True, scope="session")
def planted_path() -> Iterator[None]:
    """The plugins with planted faults can be imported, here and by other processes."""
    sys.path.insert(0, str(PLANTED))
    yield
    sys.path.remove(str(PLANTED))


def picture(seed: int, kind: str = "PNG", side: int = 12) -> bytes:
    """A small image of noise, different for each seed."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write(path: Path, data: bytes) -> None:
    """A file in folders that are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def shard(path: Path, first: int, keys: int) -> None:
    """A tar file of images with labels, as webdataset has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key in range(first, first + keys):
            for suffix, data in (("png", picture(key)), ("cls", str(key % 2).encode())):
                info = tarfile.TarInfo(f"s{key:05d}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a little of everything."""
    root = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(5)
    for n, split in enumerate(("train", "test")):
        for m, name in enumerate(("cat", "dog")):
            for i in range(3):
                write(root / "folders" / split / name / f"{i}.png", picture(100 * n + 10 * m + i))
        images = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
        (root / "arrays").mkdir(exist_ok=True)
        np.savez(root / "arrays" / f"{split}.npz", images=images, labels=np.arange(6) % 3)
        shard(root / "shards" / split / "0.tar", 1000 * (n + 1), 5)
        (root / "shards" / split / "nshards.txt").write_text("1\n")
        for domain in "AB":
            for i in range(3):
                write(
                    root / "domains" / f"{split}{domain}" / f"{i}.png",
                    picture(10 * ord(domain) + 500 * n + i, side=16),
                )
    (root / "shards" / "classnames.txt").write_text("tabby cat\ndog\n")
    (root / "shards" / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\n")
    cifar = {f"{a}_{s}": v for s in ("train", "test") for a, v in _cifar(rng).items()}
    np.savez(root / "cifar10.npz", **cifar)
    np.save(root / "cifar10.1_v6_data.npy", rng.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8))
    np.save(root / "cifar10.1_v6_labels.npy", np.arange(2000) % 10)
    (root / "CIFAR-10-C").mkdir()
    shape = (50_000, 32, 32, 3)  # a sparse file
    np.lib.format.open_memmap(root / "CIFAR-10-C" / "fog.npy", "w+", np.uint8, shape).flush()
    np.save(root / "CIFAR-10-C" / "labels.npy", np.arange(50_000) % 10)
    parts = {
        s: [[f"{c}/{s}{i}.png", i, c] for i, c in enumerate(("River", "Sea"))]
        for s in ("train", "val", "test")
    }
    for n, (path, _, _) in enumerate(row for rows in parts.values() for row in rows):
        write(root / "coop" / path, picture(2000 + n))
    (root / "coop.json").write_text(json.dumps(parts))
    digits = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    (root / "descriptions.json").write_text(json.dumps({name: [f"the digit {name}"] for name in digits}))
    _imagenet(root)
    _tiny_imagenet(root / "tiny-imagenet-200")
    _pairs(root)
    _voc(root / "VOCdevkit" / "VOC2007")
    _objects(root)
    _regions(root)
    return root


def _imagenet(root: Path) -> None:
    """Two classes of each of the family's data sets."""
    from harness_data import imagenet_classes as known

    shifts = {
        "imagenet-r": known.load_imagenet_classes("imagenet-r"),
        "imagenet-a": known.load_imagenet_classes("imagenet-a"),
    }
    folders = {
        "imagenet/val": known.load_imagenet_classes(),
        "imagenet/train": known.load_imagenet_classes(),
        "imagenet-sketch/sketch": known.load_imagenet_classes(),
        "imagenet-c/fog/3": known.load_imagenet_classes(),
        "objectnet-1.0/images": known.load_objectnet_classes(),
        **shifts,
    }
    for n, (folder, classes) in enumerate(folders.items()):
        for m, several in enumerate(classes.folders[:2]):
            write(root / folder / several[0] / "1.JPEG", picture(3000 + 10 * n + m, "JPEG", 16))
    for m in range(2):
        write(root / "imagenetv2-matched-frequency-format-val" / str(m) / "1.jpeg", picture(4000 + m, "JPEG"))


def _tiny_imagenet(folder: Path) -> None:
    names = {"n02124075": "Egyptian cat", "n01443537": "goldfish, Carassius auratus"}
    for n, wnid in enumerate(names):
        for i in range(3):
            write(folder / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", picture(7000 + 10 * n + i, "JPEG"))
        write(folder / "val" / "images" / f"val_{n}.JPEG", picture(7100 + n, "JPEG"))
    rows = [f"val_{n}.JPEG\t{wnid}\t0\t0\t9\t9\n" for n, wnid in enumerate(names)]
    (folder / "val" / "val_annotations.txt").write_text("".join(rows))
    (folder / "wnids.txt").write_text("\n".join(names))
    (folder / "words.txt").write_text("".join(f"{wnid}\t{name}\n" for wnid, name in names.items()))


def _pairs(root: Path) -> None:
    import csv

    rows = [(f"p{n}", f"pairs/{n}.png", f"text number {n}", ("bad", "good")[n % 2]) for n in range(8)]
    for n, row in enumerate(rows):
        write(root / row[1], picture(5000 + n))
    with (root / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "image", "text", "label"), *rows])


def _voc(base: Path) -> None:
    from harness_data.voc2007 import CLASSES

    lists = base / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for n, split in enumerate(("train", "val", "test")):
        ids = [f"{10 * n + i:06d}" for i in range(3)]
        (lists / f"{split}.txt").write_text("".join(f"{i}\n" for i in ids))
        for m, name in enumerate(CLASSES):
            marks = [(1, -1, 0)[(m + i) % 3] for i in range(3)]
            (lists / f"{name}_{split}.txt").write_text("".join(f"{i} {k:2d}\n" for i, k in zip(ids, marks)))
        for i, name in enumerate(ids):
            write(base / "JPEGImages" / f"{name}.jpg", picture(6000 + 10 * n + i, "JPEG"))


def _cifar(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8), "y": np.arange(10)}


def _objects(root: Path) -> None:
    """The same two objects, one image with them and one without, as COCO, VOC and YOLO write them."""
    base = root / "VOCdevkit" / "VOC2007"
    boxes = [(1, 2, 7, 9), (4, 0, 12, 12)]
    for n, split in enumerate(("train", "val")):
        images = [{"id": 10 * n + i, "file_name": f"{i}.png", "width": 12, "height": 12} for i in range(2)]
        annotations = [
            {"id": m + 1, "image_id": 10 * n, "category_id": (7, 3)[m], "bbox": [x, y, r - x, b - y], "area": 9.5,
             "segmentation": [[x, y, r, y, r, b]], "iscrowd": 0}
            for m, (x, y, r, b) in enumerate(boxes)
        ]  # fmt: skip
        classes = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
        told = {"images": images, "annotations": annotations, "categories": classes}
        write(root / "coco" / "annotations" / f"instances_{split}2017.json", json.dumps(told).encode())
        lines = "".join(
            f"{m} {(x + r) / 24} {(y + b) / 24} {(r - x) / 12} {(b - y) / 12}\n"
            for m, (x, y, r, b) in enumerate(boxes)
        )
        write(root / "yolo" / "labels" / split / "0.txt", lines.encode())
        for i in range(2):
            write(root / "coco" / f"{split}2017" / f"{i}.png", picture(8000 + 10 * n + i))
            write(root / "yolo" / "images" / split / f"{i}.png", picture(8000 + 10 * n + i))
    (root / "yolo" / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    for image in (base / "JPEGImages").iterdir():
        objects = "".join(
            f"<object><name>cat</name><difficult>{m}</difficult><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
            f"<xmax>{r}</xmax><ymax>{b}</ymax></bndbox></object>"
            for m, (x, y, r, b) in enumerate(boxes)
        )
        size = "<size><width>12</width><height>12</height></size>"
        text = f"<annotation>{size}{objects}</annotation>"
        write(base / "Annotations" / f"{image.stem}.xml", text.encode())


def _regions(root: Path) -> None:
    """Images with label maps as VOC, Cityscapes, ADE20K and plain folders have them."""
    base = root / "VOCdevkit" / "VOC2007"
    names = "\n".join(f"{n}\t0.1\t9\t9\t1\tclass {n}, other name" for n in range(1, 151))
    ade = root / "ADEChallengeData2016"
    write(ade / "objectInfo150.txt", f"Idx\tRatio\tTrain\tVal\tStuff\tName\n{names}\n".encode())
    write(root / "regions" / "classes.txt", b"sky\nland\n")
    for n, (split, long) in enumerate((("train", "training"), ("val", "validation"))):
        lists = base / "ImageSets" / "Segmentation"
        lists.mkdir(exist_ok=True)
        ids = [f"{10 * n + i:06d}" for i in range(2)]
        (lists / f"{split}.txt").write_text("\n".join(ids))
        for i, name in enumerate(ids):
            label_map(base / "SegmentationClass" / f"{name}.png", i, 21, palette=True)
            seen = picture(9000 + 10 * n + i)
            write(ade / "images" / long / f"{name}.png", seen)
            label_map(ade / "annotations" / long / f"{name}.png", i, 151, ignored=False)
            write(root / "leftImg8bit" / split / "ulm" / f"{name}_leftImg8bit.png", seen)
            fine = root / "gtFine" / split / "ulm"
            label_map(fine / f"{name}_gtFine_labelIds.png", i, 34, ignored=False)
            write(fine / f"{name}_gtFine_color.png", seen)
            write(root / "regions" / "images" / split / f"{name}.png", seen)
            label_map(root / "regions" / "masks" / split / f"{name}.png", i, 2, palette=True)


def label_map(path: Path, seed: int, classes: int, *, palette: bool = False, ignored: bool = True) -> None:
    """A map of 12×12 class numbers, some of them 255."""
    pixels = np.random.default_rng(seed).integers(0, classes, (12, 12), dtype=np.uint8)
    if ignored:
        pixels[0] = 255
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(bytes(range(255, -1, -1)) * 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
