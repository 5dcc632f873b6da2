"""Shards in CLIP_benchmark's layout, written with tarfile and, for comparison, read with webdataset."""

import io
import os
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.contract.data import Dataset, Split
from harness.errors import DataError
from harness.inference.images import decode
from harness_data.shards import index_shard
from harness_data.webdatasets import WebDataset


def encoded(value, kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (value, 2 * value, 0)).save(file, kind)
    return file.getvalue()


def write(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path):
    kinds = [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG"), ("jpg", "JPEG")]
    samples = []
    for i, (extension, kind) in enumerate(kinds):
        samples.append(
            [(f"s{i:07d}.{extension}", encoded(20 * i, kind)), (f"s{i:07d}.cls", str(i % 2).encode())]
        )
    write(tmp_path / "test" / "0.tar", [m for s in samples[:3] for m in s])
    write(tmp_path / "test" / "1.tar", [m for s in samples[3:] for m in s])
    (tmp_path / "test" / "nshards.txt").write_text("2\n")
    (tmp_path / "classnames.txt").write_text("tabby cat\ndog\n")
    (tmp_path / "zeroshot_classification_templates.txt").write_text("a photo of a {c}.\nart of {c}.\n")
    return tmp_path


def test_a_relative_path_is_also_found_below_the_data_root(shards, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path / "test")
    assert WebDataset(tmp_path.name).splits == ("test",)
    monkeypatch.delenv("HARNESS_DATA_ROOT")
    assert "no such folder" in WebDataset(tmp_path.name).unavailable()


def test_layout(shards):
    data = WebDataset(shards)
    assert isinstance(data, Dataset)
    assert data.unavailable() is None
    assert data.splits == ("test",)
    split = data.load("test")
    assert isinstance(split, Split)
    assert split.ids[0] == "0/s0000000"
    assert split.ids[-1] == "1/s0000004"
    assert split.targets.tolist() == [0, 1, 0, 1, 0]
    assert split.class_names == ["tabby cat", "dog"]
    assert split.templates == ["a photo of a {}.", "art of {}."]
    assert [s.image.data for s in split] == [
        encoded(20 * i, k) for i, k in enumerate(["JPEG", "PNG", "WEBP", "JPEG", "JPEG"])
    ]
    assert np.asarray(decode(split[1].image))[0, 0].tolist() == [20, 40, 0]


def test_same_samples_as_webdataset(shards):
    wds = pytest.importorskip("webdataset")
    theirs = [
        (s["__key__"], int(s["cls"]), next(s[e] for e in ("jpg", "jpeg", "png", "webp") if e in s))
        for i in range(2)
        for s in wds.WebDataset(str(shards / "test" / f"{i}.tar"), shardshuffle=False)
    ]
    ours = [(s.id.split("/", 1)[1], s.label, s.image.data) for s in WebDataset(shards).load("test")]
    assert ours == theirs


def test_keys_with_folders_and_dots(tmp_path):
    write(
        tmp_path / "0.tar", [("./a/x.y.png", b"1"), ("a/x.cls", b"0"), ("a/.hidden", b""), ("b/x.JPG", b"2")]
    )
    index = index_shard(tmp_path / "0.tar")
    assert {key: sorted(members) for key, members in index.items()} == {
        "a/x": ["cls", "y.png"],
        "b/x": ["jpg"],
    }
    assert index["b/x"]["jpg"].read() == b"2"


def test_texts(tmp_path):
    write(tmp_path / "test" / "0.tar", [("a.png", encoded(1, "PNG")), ("a.txt", "zwei Hunde ä\n".encode())])
    (tmp_path / "test" / "nshards.txt").write_text("1")
    with pytest.raises(DataError, match=r"sample 'a': no label"):
        WebDataset(tmp_path).load("test")
    (tmp_path / "dataset_type.txt").write_text("retrieval\n")
    sample = WebDataset(tmp_path).load("test")[0]
    assert (sample.text, sample.label) == ("zwei Hunde ä", -1)


def test_nothing_there(tmp_path):
    assert "no <split>/nshards.txt" in WebDataset(tmp_path).unavailable()
    assert "no such folder" in WebDataset(tmp_path / "gone").unavailable()
    with pytest.raises(DataError, match="no such folder"):
        WebDataset(tmp_path / "gone").load("test")


def test_missing_split_and_shard(shards):
    with pytest.raises(DataError, match="no split 'train'"):
        WebDataset(shards).load("train")
    (shards / "test" / "nshards.txt").write_text("3")
    with pytest.raises(DataError, match=r"test/2\.tar: missing, though nshards\.txt says there are 3"):
        WebDataset(shards).load("test")
    (shards / "test" / "nshards.txt").write_text("many")
    with pytest.raises(DataError, match=r"nshards\.txt: expected the number of shards, found 'many'"):
        WebDataset(shards).load("test")


def test_label_outside_the_class_names(shards):
    (shards / "classnames.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"0\.tar: sample 's0000001': label 1 is outside the 1 names"):
        WebDataset(shards).load("test")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.cls", b"0")], "sample 'a': no image"),
        ([("a.png", b"x"), ("a.cls", b"zero")], "sample 'a': its label must be a class index, found 'zero'"),
        ([("a.png", b"x"), ("a.cls", b"-1")], "found '-1'"),
        ([("a.png", b"x"), ("a.npy", b"x")], "several per image"),
        ([("a.png", b"x"), ("a.png", b"y")], "'a.png' is in it twice"),
        ([], "hold no samples"),
    ],
)
def test_bad_samples(tmp_path, members, message):
    write(tmp_path / "test" / "0.tar", members)
    (tmp_path / "test" / "nshards.txt").write_text("1")
    with pytest.raises(DataError, match=message):
        WebDataset(tmp_path).load("test")


@pytest.mark.parametrize("keep", [0, 100, 512, 512 + 100, 1024, 2 * 1024, -10240 + 512])
def test_cut_shard_is_named(shards, keep):
    """Cut anywhere, also exactly between two members, where tarfile itself sees no error."""
    shard = shards / "test" / "0.tar"
    whole = shard.read_bytes()
    end = max(m.offset + -(-m.size // 512) * 512 for s in index_shard(shard).values() for m in s.values())
    shard.write_bytes(whole[: keep if keep >= 0 else end])
    with pytest.raises(DataError, match=r"0\.tar: broken tar file"):
        WebDataset(shards).load("test")


def test_damaged_header_and_foreign_file(shards):
    shard = shards / "test" / "0.tar"
    whole = bytearray(shard.read_bytes())
    second = next(iter(index_shard(shard).values()))["cls"].offset - 512
    whole[second : second + 200] = b"\xff" * 200
    shard.write_bytes(whole)
    with pytest.raises(DataError, match=r"0\.tar: broken tar file"):
        WebDataset(shards).load("test")
    shard.write_text("<html>not found</html>" * 100)
    with pytest.raises(DataError, match=r"0\.tar: broken tar file"):
        WebDataset(shards).load("test")


def test_undecodable_image_names_shard_and_member(tmp_path):
    write(tmp_path / "test" / "0.tar", [("a.jpg", encoded(9, "JPEG")[:200]), ("a.cls", b"0")])
    (tmp_path / "test" / "nshards.txt").write_text("1")
    sample = WebDataset(tmp_path).load("test")[0]
    with pytest.raises(DataError, match=r"0\.tar:a\.jpg"):
        decode(sample.image)


def test_fingerprint(shards):
    before = WebDataset(shards).fingerprint()
    assert WebDataset(shards).fingerprint() == before
    (shards / "classnames.txt").write_text("cat\ndog\n")
    renamed = WebDataset(shards).fingerprint()
    assert renamed != before
    write(shards / "test" / "1.tar", [("b.png", encoded(3, "PNG")), ("b.cls", b"1")])
    assert WebDataset(shards).fingerprint() != renamed


def test_names_that_are_no_utf8_can_be_written(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write(tmp_path / "test" / "0.tar", [(f"{name}.jpg", encoded(1, "JPEG")), (f"{name}.cls", b"0")])
    (tmp_path / "test" / "nshards.txt").write_text("1")
    split = WebDataset(tmp_path).load("test")
    assert list(split.ids) == [r"0/caf\xe9"]
    assert split[0].image.name == rf"{tmp_path / 'test' / '0.tar'}:caf\xe9.jpg"


def test_every_kind_of_image_that_is_decoded_is_one(tmp_path):
    kinds = [
        ("jfif", "JPEG"),
        ("JPG", "JPEG"),
        ("bmp", "BMP"),
        ("tif", "TIFF"),
        ("gif", "GIF"),
        ("jpe", "JPEG"),
    ]
    members = [
        m
        for i, (extension, kind) in enumerate(kinds)
        for m in ((f"s{i}.{extension}", encoded(20 * i, kind)), (f"s{i}.cls", str(i % 2).encode()))
    ]
    write(tmp_path / "test" / "0.tar", members)
    (tmp_path / "test" / "nshards.txt").write_text("1")
    split = WebDataset(tmp_path).load("test")
    assert len(split) == 6
    assert all(decode(sample.image).size == (8, 6) for sample in split)
    assert split.remarks == []


def test_shards_and_folders_that_are_not_used_are_told(shards):
    assert WebDataset(shards).remarks == []
    write(shards / "test" / "2.tar", [("x.jpg", encoded(1, "JPEG"))])
    write(shards / "val" / "0.tar", [("x.jpg", encoded(1, "JPEG"))])
    (shards / "test" / "3.tar.gz").write_bytes(b"")
    assert WebDataset(shards).remarks == [
        "3 of 5 shards are not used: 2 beyond what test/nshards.txt says, 1 in 'val', which has no nshards.txt "
        "(first: test/2.tar)"
    ]


def test_members_that_are_not_used_are_told(tmp_path):
    write(
        tmp_path / "test" / "0.tar",
        [
            ("a.jpg", encoded(1, "JPEG")), ("a.cls", b"0"), ("a.txt", b"words"), ("a.json", b"{}"),
            ("b.jpg", encoded(1, "JPEG")), ("b.png", encoded(1, "PNG")), ("b.cls", b"2"), ("LICENSE", b"free"),
            ("._b.jpg", b"\0\5\26\7"),
        ],
    )  # fmt: skip
    (tmp_path / "test" / "nshards.txt").write_text("1")
    (tmp_path / "classnames.txt").write_text("cat\ndog\nemu\n")
    assert WebDataset(tmp_path).load("test").remarks == [
        "3 of 8 files are not used: 1 .json, 1 .png, 1 without suffix (first: 0.tar:LICENSE)",
        "label 1 'dog' of 0..2 has no sample",
    ]


def test_a_missing_shard_names_those_there(shards):
    (shards / "test" / "0.tar").rename(shards / "test" / "00000.tar")
    with pytest.raises(DataError, match=r"0\.tar: missing, .*there: 00000\.tar, 1\.tar"):
        WebDataset(shards).load("test")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["jpg", "JPEG", "png", "jfif", "bmp"]),
            st.integers(0, 2),
            st.sets(st.sampled_from(["json", "npy", "seg.png", "txt", "cls.bak"])),
        ),
        min_size=1,
        max_size=9,
    ),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_members_are_samples_or_told(samples, count, beyond):
    kinds = {"jpg": "JPEG", "JPEG": "JPEG", "png": "PNG", "jfif": "JPEG", "bmp": "BMP"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        written, more = [[] for _ in range(count)], 0
        for i, (extension, label, others) in enumerate(samples):
            name = f"s{i:03}"
            written[i % count] += [(f"{name}.{extension}", encoded(9 * i, kinds[extension]))]
            written[i % count] += [(f"{name}.cls", str(label).encode())]
            written[i % count] += [(f"{name}.{other}", b"x") for other in sorted(others)]
            more += len(others - {"txt"})
        for number, members in enumerate([*written, *[written[0]] * beyond]):
            write(root / "test" / f"{number}.tar", members)
        (root / "test" / "nshards.txt").write_text(str(count))
        data = WebDataset(root)
        split = data.load("test")
        assert len(split) == len(samples)
        order = [i for shard in range(count) for i in range(len(samples)) if i % count == shard]
        assert split.targets.tolist() == [samples[i][1] for i in order]
        files = len(samples) * 2 + sum(len(others) for *_, others in samples)
        said = [text for text in split.remarks if "not used" in text]
        assert [text.split(" files ")[0] for text in said] == ([f"{more} of {files}"] if more else [])
        assert [t.split(" shards ")[0] for t in data.remarks] == (
            [f"{beyond} of {count + beyond}"] if beyond else []
        )


def test_shards_without_a_count_are_told(shards):
    (shards / "test" / "nshards.txt").unlink()
    assert "'test' holds shards but no nshards.txt: name them 0.tar" in WebDataset(shards).unavailable()
