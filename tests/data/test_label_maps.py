"""Label maps read as class numbers: `mask-folder`, `voc-regions`, `cityscapes` and `ade20k`, against torchvision's readers."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from harness import DataError, OptionError
from harness_data.ade20k import Ade20k
from harness_data.cityscapes import Cityscapes
from harness_data.label_maps import LabelTable, make_label_table, read_label_map
from harness_data.mask_folder import MaskFolder
from harness_data.voc2007 import CLASSES
from harness_data.voc_regions import VocRegions

SHAPE = (6, 9)
PALETTE = bytes(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8))


def drawn(seed: int, values: list[int], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), shape)


def save(path: Path, pixels: np.ndarray, palette: bool = False, **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(PALETTE)
    image.save(path, **how)


def photo(path: Path, shape: tuple[int, int] = SHAPE) -> None:
    save(path, np.zeros((*shape, 3), np.uint8))


# ---------------------------------------------------------------- mask-folder


def folder(base: Path, maps: dict[str, np.ndarray], classes: str = "sky\nland\nsea\n") -> Path:
    for name, pixels in maps.items():
        photo(base / "images" / f"{name}.jpg", pixels.shape)  # type: ignore[arg-type]
        save(base / "masks" / f"{name}.png", pixels, palette=True)
    (base / "classes.txt").write_text(classes)
    return base


def test_a_palette_is_read_as_numbers_not_as_colours(tmp_path: Path) -> None:
    pixels = drawn(1, [0, 1, 2, 255])
    split = MaskFolder(folder(tmp_path, {"a": pixels})).load("test")
    found = split.targets[0].semantic
    assert found.tolist() == pixels.tolist()
    assert found.dtype == np.uint8
    luminance = np.asarray(Image.open(tmp_path / "masks" / "a.png").convert("L"))
    assert (luminance != found).any()  # what a careless reader would return
    assert split[0].target.semantic.tolist() == pixels.tolist()
    assert list(split.ids) == ["a.jpg"]
    assert split.class_names == ["sky", "land", "sea"]
    assert split.remarks == []


def test_splits_values_and_names_of_folders(tmp_path: Path) -> None:
    for split in ("train", "val"):
        photo(tmp_path / "photos" / split / "town" / "a.jpg")
        save(tmp_path / "truth" / split / "town" / "a_mask.png", drawn(2, [0, 200]))
    data = MaskFolder(
        tmp_path, classes=["no", "yes"], images="photos", masks="truth", mask_suffix="_mask", values=[0, 200]
    )
    assert data.splits == ("train", "val")
    assert data.load("val").targets[0].semantic.tolist() == (drawn(2, [0, 200]) // 200).tolist()
    other = tmp_path / "other"
    photo(other / "valid" / "images" / "a.jpg")
    save(other / "valid" / "masks" / "a.png", drawn(3, [0, 255]))
    flat = MaskFolder(other, classes=["no", "yes"], values=[0, 255], ignored=None)
    assert flat.splits == ("valid",)
    assert flat.load("valid").targets[0].semantic.tolist() == (drawn(3, [0, 255]) // 255).tolist()
    with pytest.raises(DataError, match="values of no class, the first"):
        MaskFolder(other, classes=["no", "yes"], ignored=None).load("valid").targets[0]


def test_trimaps_of_torchvisions_pets(tmp_path: Path) -> None:
    """1 the animal, 2 the background, 3 between them, as OxfordIIITPet unpacks them."""
    stored = drawn(4, [1, 2, 3])
    photo(tmp_path / "images" / "a.jpg")
    save(tmp_path / "annotations" / "trimaps" / "a.png", stored)
    save(tmp_path / "annotations" / "trimaps" / "._a.png", stored)
    data = MaskFolder(
        tmp_path, classes=["pet", "ground"], masks="annotations/trimaps", values=[1, 2], ignored=3
    )
    assert data.load("test").targets[0].semantic.tolist() == np.where(stored == 3, 255, stored - 1.0).tolist()


def test_maps_are_read_on_access_alone(tmp_path: Path) -> None:
    split = MaskFolder(folder(tmp_path, {"a": drawn(1, [0]), "b": drawn(1, [0])})).load("test")
    (tmp_path / "masks" / "a.png").unlink()
    assert split.targets[1].semantic.shape == SHAPE
    with pytest.raises(DataError, match=r"a\.png: no such label map"):
        split.targets[0]


def rgb(base: Path) -> None:
    save(base / "masks" / "a.png", np.zeros((*SHAPE, 3), np.uint8))


def jpeg(base: Path) -> None:
    (base / "masks" / "a.png").unlink()
    save(base / "masks" / "a.jpg", np.zeros(SHAPE, np.uint8))


def text(base: Path) -> None:
    (base / "masks" / "a.png").write_text("no image")


def beyond(base: Path) -> None:
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[2, 3:] = 3
    save(base / "masks" / "a.png", pixels)


def cut(base: Path) -> None:
    file = base / "masks" / "a.png"
    file.write_bytes(file.read_bytes()[:-30])


FAULTS = {
    rgb: r"label map of 'a\.jpg': .*a\.png: an image of colours \(RGB\): expected a palette or grey file",
    jpeg: r"label map of 'a\.jpg': .*a\.jpg: a JPEG file, whose compression changes class numbers",
    text: r"label map of 'a\.jpg': .*a\.png: no label map that can be read",
    beyond: r"a\.png: 6 pixels have values of no class, the first 3 at row 2, column 3; classes have 0 to 2",
    cut: r"a\.png: (damaged|no) label map",
    lambda base: (base / "masks" / "a.png").unlink(): r"label map of 'a\.jpg': .*a\.png: no such label map",
    lambda base: save(base / "masks" / "a.png", np.zeros((9, 6), np.uint8)): r"9×6 pixels, .*is for 6×9",
    lambda base: (base / "images" / "a.jpg").write_bytes(b""): r"image 'a\.jpg': .*a\.jpg: an empty file",
}


@pytest.mark.parametrize("harm", FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_one_line(tmp_path: Path, harm: Any) -> None:
    harm(folder(tmp_path, {"a": drawn(1, [0, 1]), "b": drawn(2, [0, 1])}))
    with pytest.raises(DataError, match=FAULTS[harm]) as found:
        MaskFolder(tmp_path).load("test").targets[0]
    assert "\n" not in str(found.value)
    split = MaskFolder(tmp_path, on_error="skip").load("test")
    assert list(split.ids) == ["b.jpg"]
    assert "1 of 2 images is left out for faults of their files (first: " in split.remarks[0]


def test_doubtful_folders_and_class_lists(tmp_path: Path) -> None:
    base = folder(tmp_path / "a", {"a": drawn(1, [0])})
    save(base / "masks" / "old.png", drawn(1, [0]))
    assert MaskFolder(base).load("test").remarks == ["1 label map has no image, beside 1 images (first: old)"]
    photo(base / "images" / "a.png")
    with pytest.raises(DataError, match=r"two images with the label map a, a\.jpg and a\.png"):
        MaskFolder(base).load("test")
    (base / "images" / "a.png").unlink()
    save(base / "masks" / "a.bmp", drawn(1, [0]))
    with pytest.raises(DataError, match=r"two label maps for one image, a\.bmp and a\.png"):
        MaskFolder(base).load("test")
    (base / "classes.txt").write_text("sky\nsky\n")
    assert "class 'sky' is listed twice" in str(MaskFolder(base).unavailable())
    (base / "classes.txt").unlink()
    assert "give the classes' names as `classes`" in str(MaskFolder(base).unavailable())
    assert "no folder 'images'" in str(MaskFolder(tmp_path / "none").unavailable())
    with pytest.raises(OptionError, match="images should be a folder's name"):
        MaskFolder(base, images="../b")
    with pytest.raises(OptionError, match="values lists 1, there are 2 classes"):
        MaskFolder(base, classes=["a", "b"], values=[3]).unavailable()
    for values, ignored, problem in (
        ([0, 0], None, "value 0 has two classes"),
        ([0, 255], 255, "value 255 has a class, and is the one that is not counted"),
        ([0, 70000], None, "values of pixels are 0 to 65535, not 70000"),
        (list(range(256)), None, "at most 255 classes"),
    ):
        with pytest.raises(OptionError, match=problem):
            make_label_table(values, ignored, "x")


def test_content_decides_the_fingerprint(tmp_path: Path) -> None:
    base = folder(tmp_path, {"a": drawn(1, [0, 1])})
    prints = [MaskFolder(base).fingerprint()]
    save(base / "masks" / "a.png", drawn(2, [0, 1]), palette=True)
    prints.append(MaskFolder(base).fingerprint())
    (base / "classes.txt").write_text("air\nland\nsea\n")
    prints.append(MaskFolder(base).fingerprint())
    assert len(set(prints)) == 3


# ---------------------------------------------------------------- files of few and of many bits

EVERY = LabelTable({value: value for value in range(256)})


def grey_png(path: Path, pixels: np.ndarray, bits: int) -> None:
    """A grey PNG of 2, 4 or 16 bits, written by hand: Pillow writes others."""
    if bits == 16:
        rows = pixels.astype(">u2").tobytes()
        width = 2 * pixels.shape[1]
    else:
        spread = (pixels[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(spread.reshape(len(pixels), -1).astype(np.uint8), axis=1)
        rows, width = packed.tobytes(), packed.shape[1]
    lines = b"".join(b"\0" + rows[i : i + width] for i in range(0, len(rows), width))
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_files_of_any_depth_keep_their_numbers(tmp_path: Path, bits: int) -> None:
    pixels = np.random.default_rng(bits).integers(0, min(2**bits, 256), SHAPE).astype(np.uint16)
    grey_png(tmp_path / "a.png", pixels, bits)
    assert read_label_map(tmp_path / "a.png", EVERY).tolist() == pixels.tolist()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_any_depth_keep_their_numbers(tmp_path: Path, bits: int) -> None:
    pixels = drawn(bits, list(range(2**bits)))
    save(tmp_path / "a.png", pixels, palette=True, bits=bits)
    assert read_label_map(tmp_path / "a.png", EVERY).tolist() == pixels.tolist()


def test_numbers_beyond_eight_bits(tmp_path: Path) -> None:
    pixels = np.array([[0, 300], [65535, 7]], np.uint16)
    grey_png(tmp_path / "a.png", pixels, 16)
    table = make_label_table([7, 300], 65535, "x")
    with pytest.raises(DataError, match=r"1 pixels have values of no class, the first 0 at row 0, column 0"):
        read_label_map(tmp_path / "a.png", table)
    table = make_label_table([7, 300, 0], 65535, "x")
    assert read_label_map(tmp_path / "a.png", table).tolist() == [[2, 1], [255, 0]]


def test_numbers_out_of_any_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 70000], [-1, 1]], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(
        DataError, match=r"2 pixels have values of no class, the first 70000 at row 0, column 1"
    ):
        read_label_map(tmp_path / "a.tif", EVERY)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maps")


@settings(max_examples=60, deadline=None)
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    suffix=st.sampled_from([".png", ".bmp", ".tif"]),
    palette=st.booleans(),
)
def test_random_maps_round_trip(place: Path, pixels: np.ndarray, suffix: str, palette: bool) -> None:
    file = place / f"a{suffix}"
    save(file, pixels, palette)
    assert read_label_map(file, EVERY).tolist() == pixels.tolist()


@settings(max_examples=120, deadline=None)
@given(place_=st.integers(0, 10**4), byte=st.integers(0, 255), cut_=st.booleans())
def test_damaged_maps_are_refused_or_read_as_pillow_reads_them(
    place: Path, place_: int, byte: int, cut_: bool
) -> None:
    file = place / "b.png"
    save(file, drawn(1, list(range(256)), (12, 12)), palette=True)
    content = bytearray(file.read_bytes())
    content[place_ % len(content)] = byte
    file.write_bytes(content[: place_ % len(content)] if cut_ else content)
    try:
        found = read_label_map(file, EVERY)
    except DataError as error:
        assert str(file) in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert found.tolist() == np.asarray(Image.open(file)).tolist()


# ---------------------------------------------------------------- VOC, Cityscapes, ADE20K


def voc(root: Path) -> dict[str, np.ndarray]:
    base = root / "VOCdevkit" / "VOC2012"
    (base / "ImageSets" / "Segmentation").mkdir(parents=True)
    maps = {name: drawn(n, [0, 1, 12, 20, 255]) for n, name in enumerate("ab")}
    for name, pixels in maps.items():
        photo(base / "JPEGImages" / f"{name}.jpg")
        save(base / "SegmentationClass" / f"{name}.png", pixels, palette=True)
    (base / "ImageSets" / "Segmentation" / "val.txt").write_text("b\na\n")
    return maps


def test_voc_agrees_with_torchvision(tmp_path: Path) -> None:
    from torchvision.datasets import VOCSegmentation

    maps = voc(tmp_path)
    split = VocRegions(tmp_path).load("val")
    assert list(split.ids) == ["b", "a"]
    for n, (_, theirs) in enumerate(VOCSegmentation(str(tmp_path), "2012", "val")):
        assert split.targets[n].semantic.tolist() == np.asarray(theirs).tolist()
        assert split.targets[n].semantic.tolist() == maps[split.ids[n]].tolist()
    assert split.class_names == ["background", *CLASSES]
    assert VocRegions(tmp_path).tags == {"classes": 21}


def test_voc_without_background_moves_classes_down(tmp_path: Path) -> None:
    maps = voc(tmp_path)
    split = VocRegions(tmp_path, background=False).load("val")
    wanted = np.where(np.isin(maps["b"], (0, 255)), 255, maps["b"] - 1)
    assert split.targets[0].semantic.tolist() == wanted.tolist()
    assert split.class_names == list(CLASSES)
    assert split.remarks == ["pixels of the background are not counted (20 classes)"]
    save(tmp_path / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "b.png", np.full(SHAPE, 21, np.uint8))
    with pytest.raises(DataError, match=r"b\.png: 54 pixels have values of no class, the first 21"):
        split.targets[0]
    assert "no ImageSets/Segmentation" in str(VocRegions(tmp_path / "none").unavailable())


def test_cityscapes_agrees_with_torchvision(tmp_path: Path) -> None:
    from torchvision.datasets import Cityscapes as Theirs

    pixels = np.arange(54, dtype=np.uint8).reshape(SHAPE) % 34
    for split in ("train", "val"):
        for kind in ("labelIds", "instanceIds", "color"):
            save(tmp_path / "gtFine" / split / "ulm" / f"ulm_000_gtFine_{kind}.png", pixels)
        photo(tmp_path / "leftImg8bit" / split / "ulm" / "ulm_000_leftImg8bit.png")
    (tmp_path / "gtFine" / "train" / "ulm" / "ulm_000_gtFine_polygons.json").write_text("{}")
    split = Cityscapes(tmp_path).load("val")
    ((_, theirs),) = Theirs(str(tmp_path), "val", target_type="semantic")
    official = {c.id: c.train_id for c in Theirs.classes}
    wanted = np.vectorize(lambda value: official[value])(np.asarray(theirs))
    assert split.targets[0].semantic.tolist() == np.where(wanted < 0, 255, wanted).tolist()
    named = {c.train_id: c.name for c in Theirs.classes if c.train_id not in (-1, 255)}
    assert list(split.class_names) == [named[n] for n in range(19)]
    assert list(split.ids) == ["ulm/ulm_000"]
    assert split.remarks == []
    assert Cityscapes(tmp_path).splits == ("train", "val")
    assert Cityscapes.recognise(tmp_path) == {"path": tmp_path}
    save(tmp_path / "gtFine" / "val" / "ulm" / "ulm_000_gtFine_labelIds.png", np.full(SHAPE, 34, np.uint8))
    with pytest.raises(DataError, match=r"ulm_000_gtFine_labelIds\.png: 54 pixels have values of no class"):
        split.targets[0]
    assert "get leftImg8bit_trainvaltest.zip" in str(Cityscapes(tmp_path / "ulm").unavailable())


def ade(base: Path, rows: int = 150, pixels: np.ndarray | None = None) -> Path:
    names = "".join(f"{n}\t.1\t9\t9\t1\tname {n}, synonym\n" for n in range(1, rows + 1))
    photo(base / "images" / "validation" / "ADE_val_1.jpg")
    save(
        base / "annotations" / "validation" / "ADE_val_1.png",
        drawn(1, [0, 1, 2, 150]) if pixels is None else pixels,
    )
    (base / "objectInfo150.txt").write_text(f"Idx\tRatio\tTrain\tVal\tStuff\tName\n{names}")
    return base


def test_ade20k_counts_from_one_and_leaves_out_zero(tmp_path: Path) -> None:
    ade(tmp_path / "ADEChallengeData2016")
    split = Ade20k(tmp_path).load("validation")
    stored = drawn(1, [0, 1, 2, 150])
    wanted = np.where(stored == 0, 255, stored - 1)
    assert split.targets[0].semantic.tolist() == wanted.tolist()
    assert split.class_names[0] == "name 1"
    assert len(split.class_names) == 150
    assert Ade20k(tmp_path).splits == ("validation",)
    ade(tmp_path / "ADEChallengeData2016", 149)
    assert "expected 150 rows with the number and name of a class each, found 149" in str(
        Ade20k(tmp_path).unavailable()
    )
    ade(tmp_path / "ADEChallengeData2016", pixels=np.full(SHAPE, 151, np.uint8))
    with pytest.raises(DataError, match=r"ADE_val_1\.png: 54 pixels have values of no class, the first 151"):
        split.targets[0]
    assert "get ADEChallengeData2016.zip" in str(Ade20k(tmp_path / "none").unavailable())


def test_label_maps_decide_the_fingerprints(tmp_path: Path) -> None:
    voc(tmp_path)
    ade(tmp_path)
    photo(tmp_path / "leftImg8bit" / "val" / "ulm" / "a_leftImg8bit.png")
    scene = tmp_path / "gtFine" / "val" / "ulm" / "a_gtFine_labelIds.png"
    save(scene, drawn(1, [7, 8]))
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for read, changed in (
        (VocRegions, base / "SegmentationClass" / "a.png"),
        (Cityscapes, scene),
        (Ade20k, tmp_path / "annotations" / "validation" / "ADE_val_1.png"),
    ):
        before = read(tmp_path).fingerprint()
        assert read(tmp_path).fingerprint() == before
        save(changed, np.full(SHAPE, 7, np.uint8))
        assert read(tmp_path).fingerprint() != before
