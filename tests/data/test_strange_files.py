"""Files as people have them: each is read right, or told; none is taken for something else without a word."""

import io
import json
import tarfile
import warnings
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from harness.contract.data import EncodedImage
from harness.errors import DataError
from harness.inference.images import decode
from harness_data.arrays import Arrays
from harness_data.image_folder import ImageFolder
from harness_data.pair_shards import PairShards
from harness_data.pairs import Pairs
from harness_data.webdatasets import WebDataset

ACCENT = "caf\u00e9"
COLOURS = ("red", "green")


def encoded(colour, kind="PNG", **options):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, kind, **options)
    return file.getvalue()


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def tar(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture
def shards(tmp_path):
    """Writes shards of one split, from samples of (colour, label) or of members, and gives their folder."""

    def write(*each, names=COLOURS, text=False):
        for number, samples in enumerate(each):
            members = []
            for i, (colour, label) in enumerate(samples):
                members += [(f"{i:03d}.png", encoded(colour)), (f"{i:03d}.cls", label)]
                members += [(f"{i:03d}.txt", b"a post")] if text else []
            put(tmp_path / "w" / "test" / f"{number}.tar", tar(members))
        put(tmp_path / "w" / "test" / "nshards.txt", str(len(each)).encode())
        if names:
            put(tmp_path / "w" / "classnames.txt", "\n".join(names).encode())
        return tmp_path / "w"

    return write


@pytest.fixture
def table(tmp_path):
    """Writes a table beside twelve images and gives the data set."""

    def write(name, text, **options):
        for i in range(12):
            put(tmp_path / "images" / f"{i}.png", encoded(COLOURS[i % 2]))
        put(tmp_path / name, text if isinstance(text, bytes) else text.encode())
        return Pairs(tmp_path, **options)

    return write


def lines(row, head=""):
    return head + "".join(row(i, COLOURS[i % 2]) + "\n" for i in range(12))


def counts(pairs):
    split = pairs.load("all")
    return {name: int((split.targets == i).sum()) for i, name in enumerate(split.class_names)}


def test_whatever_a_decoder_raises_is_a_damaged_image():
    data = bytearray(encoded("red", "AVIF"))
    place = data.index(b"iloc")
    data[place : place + 4] = b"xxxx"
    with pytest.raises(DataError, match=r"damaged image|no image"):
        decode(EncodedImage(bytes(data), "a.avif"))


@pytest.mark.parametrize(
    "kind", ["AVIF", "BLP", "DDS", "JPEG2000", "ICNS", "TIFF", "WEBP", "SGI", "PCX", "QOI"]
)
def test_damaged_images_of_all_kinds_are_told(kind):
    rng, file = np.random.default_rng(0), io.BytesIO()
    Image.new("P" if kind == "BLP" else "RGB", (16, 16)).save(file, kind)
    for _ in range(60):
        data = bytearray(file.getvalue())
        for place in rng.integers(0, min(len(data), 200), 3):
            data[place] = rng.integers(0, 256)
        with suppress(DataError):
            decode(EncodedImage(bytes(data), "a"))


def test_transparency_of_a_palette_is_dropped_without_a_warning():
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").convert("P").save(file, "PNG", transparency=bytes([0, 128, 255] * 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = decode(EncodedImage(file.getvalue(), "a"))
    assert np.asarray(image).reshape(-1, 3).tolist() == [[255, 0, 0]] * 16


def test_a_link_to_the_folder_above_brings_no_images_of_other_classes(tmp_path):
    for colour in COLOURS:
        put(tmp_path / "test" / colour / "0.png", encoded(colour))
    (tmp_path / "test" / "red" / "all").symlink_to(tmp_path / "test")
    (tmp_path / "test" / "green" / "set").symlink_to(tmp_path)
    assert list(ImageFolder(tmp_path).load("test").ids) == ["green/0.png", "red/0.png"]


def test_class_names_in_bytes_are_the_same_names(tmp_path):
    arrays = {"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.arange(2)}
    np.savez(tmp_path / "a.npz", **arrays, class_names=np.array(["naïve".encode(), b"green"]))
    assert Arrays(tmp_path / "a.npz").load("test").class_names == ["naïve", "green"]
    for names in (np.array("red"), np.array([["red"], ["green"]])):
        np.savez(tmp_path / "a.npz", **arrays, class_names=names)
        assert "one name per class" in Arrays(tmp_path / "a.npz").unavailable()


def test_arrays_that_can_not_be_used_are_refused_at_planning(tmp_path):
    images, labels = np.full((2, 3, 5, 5), 9, np.uint8), np.arange(2)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels)
    assert "it has: x_train, y_train" in Arrays(tmp_path / "a.npz").unavailable()
    np.savez(tmp_path / "b.npz", images=images, labels=labels)
    with pytest.raises(DataError, match=r"transpose\(0, 2, 3, 1\)"):
        Arrays(tmp_path / "b.npz").load("test")


def test_large_labels_cost_no_memory(tmp_path):
    images = np.full((2, 4, 4), 9, np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([0, 2 * 10**9]))
    assert "1999999999 of 2000000001 labels" in Arrays(tmp_path / "a.npz").load("test").remarks[0]
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([0, 2**63], np.uint64))
    with pytest.raises(DataError, match="too large"):
        Arrays(tmp_path / "a.npz").load("test")


def test_class_names_that_differ_between_splits_are_refused(tmp_path):
    for split, names in (("train", ["red", "green"]), ("test", ["green", "red"])):
        images = np.full((2, 4, 4), 9, np.uint8)
        np.savez(tmp_path / f"{split}.npz", images=images, labels=np.arange(2), class_names=np.array(names))
    assert (
        "class_names in test.npz (green, red) and train.npz (red, green) differ"
        in Arrays(tmp_path).unavailable()
    )


def test_what_systems_left_in_a_shard_is_no_sample(shards):
    path = shards([("red", b"0"), ("green", b"1")])
    members = [("a.png", encoded("red")), ("a.cls", b"\xef\xbb\xbf0"), ("@eaDir/a.png", encoded("blue"))]
    put(
        path / "test" / "0.tar",
        tar([*members, ("b.png", encoded("green")), ("b.cls", b"1"), ("__MACOSX/._a.png", b"x")]),
    )
    split = WebDataset(path).load("test")
    assert split.targets.tolist() == [0, 1]
    assert split.remarks == ["1 of 5 files is not used: 1 in @eaDir (first: 0.tar:@eaDir/a.png)"]


def test_equal_shards_and_compressed_ones_are_told(shards):
    path = shards([("red", b"0"), ("green", b"1")], [("green", b"1"), ("red", b"0")])
    assert WebDataset(path).remarks == []
    put(path / "test" / "1.tar", (path / "test" / "0.tar").read_bytes())
    assert "test/0.tar and test/1.tar hold the same" in WebDataset(path).remarks[0]
    put(path / "test" / "1.tar", b"\x1f\x8b\x08" + b"\0" * 600)
    with pytest.raises(DataError, match="is compressed"):
        WebDataset(path).load("test")


@pytest.mark.parametrize(
    ("labels", "names", "right"),
    [
        ("012", "123", [0, 1, 2]),  # numbers of classes
        ("123", "123", [0, 1, 2]),  # their names
        ("012", ("red", "green", "blue"), [0, 1, 2]),
        (("Red", "GREEN", "blue"), ("red", "green", "blue"), [0, 1, 2]),
        (("red", "1", "blue"), ("red", "green", "blue"), [0, 1, 2]),
    ],
)
def test_labels_of_pairs_are_names_or_numbers_of_classes(shards, labels, names, right):
    path = shards([("red", label.encode()) for label in labels], names=names, text=True)
    assert PairShards(path).load("test").targets.tolist() == right


def test_values_of_json_are_read_as_they_are_meant(shards):
    path = shards([("red", b"0")])
    records = ({"label": 1.0, "text": "hi"}, {"label": ["red"], "text": float("nan")})
    members = [(f"{i}.json", json.dumps(record).encode()) for i, record in enumerate(records)]
    put(path / "test" / "0.tar", tar([*members, *((f"{i}.png", encoded("red")) for i in range(2))]))
    split = PairShards(path).load("test")
    assert dict(zip(split.ids, split.targets.tolist(), strict=True)) == {"0/0": 1, "0/1": 0}
    assert split.has_text.tolist() == [True, False]


def test_texts_with_commas_do_not_separate_cells(table):
    pairs = table("labels.tsv", lines(lambda i, c: f"{i}\t{c}\ta, b, c, d{', e' * (i % 3)}"))
    assert counts(pairs) == {"green": 6, "red": 6}
    pairs = table(
        "labels.tsv", lines(lambda i, c: f"{i}\t{c}\ta, b, c", "id\tlabel\ttext, as it is, with, commas\n")
    )
    assert counts(pairs) == {"green": 6, "red": 6}


def test_a_comment_with_commas_is_no_header(table):
    pairs = table(
        "data.csv", lines(lambda i, c: f"{i},{c},hi", "# by me, and by you, in, May\nid,label,text\n")
    )
    assert counts(pairs) == {"green": 6, "red": 6}


def test_lists_missing_values_and_lines_in_a_json_file(table):
    def row(i, colour):
        return json.dumps({"id": i, "text": "hi" if i else float("nan"), "label": [colour]})

    pairs = table("data.json", lines(row))
    assert counts(pairs) == {"green": 6, "red": 6}
    assert pairs.load("all").has_text.sum() == 11


@pytest.mark.parametrize("mark", [",", "|", "; "])
def test_several_labels_in_a_cell_are_told(table, mark):
    pairs = table(
        "data.tsv", lines(lambda i, c: f"{i}\t{f'red{mark}green' if i < 4 else c}\thi", "id\tlabel\ttext\n")
    )
    assert "4 of 12 rows have several labels" in pairs.remarks[0]


@pytest.mark.parametrize(
    "labels", [("n/o", "yes"), ("rock & roll", "jazz"), ("R+B", "pop"), ("black, white", "red")]
)
def test_marks_in_names_of_classes_are_no_several_labels(table, labels):
    pairs = table("data.tsv", lines(lambda i, _: f"{i}\t{labels[i % 2]}\thi", "id\tlabel\ttext\n"))
    assert list(pairs.remarks) == []


def test_a_column_of_splits_is_told(table):
    text = lines(lambda i, c: f"{i},{c},hi,{'train' if i < 8 else 'test'}", "id,label,text,split\n")
    assert list(table("data.csv", text).remarks) == [
        "data.csv: column 'split' (test, train) is not used: rows of all splits are taken together"
    ]


def test_labels_that_are_texts_are_refused(table):
    pairs = table("data.csv", lines(lambda i, c: f"{i},a day of {i} hours,{c}"))
    assert "have different labels (first: 'a day of 0 hours'" in pairs.unfit(["image"])


def test_workbooks_are_called_so(table):
    assert "export it as CSV" in table("data.xlsx", b"PK\x03\x04").unavailable()
    with pytest.raises(DataError, match="is a workbook"):
        table("data.csv", b"PK\x03\x04" + bytes(30)).load("all")


def test_names_with_accents_written_in_two_ways_are_one_file(table, tmp_path):
    put(tmp_path / "images" / "cafe\u0301.png", encoded("red"))
    text = lines(lambda i, c: f"hi,{c},{ACCENT if i == 0 else i}.png", "text,label,image\n")
    assert table("data.csv", text).load("all").has_image.all()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "an SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photograph"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"%PDF-1.7", "a PDF document"),
        (b'{"error": "not found"}', "JSON"),
        (b"nothing that is known", "no image that can be read;"),
    ],
)
def test_what_is_called_an_image_and_is_none_is_named(data, kind):
    with pytest.raises(DataError, match=kind):
        decode(EncodedImage(data, "a.jpg"))
