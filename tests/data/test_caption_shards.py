"""Captions in shards, as CLIP_benchmark exports and reads them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from harness import DataError
from harness.testing import DatasetConformance
from harness_data.caption_shards import CaptionShards


def encoded(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (grey, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write(path: Path, members: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    texts = ["a dog\na red dog\n", "a cat\r\n\r\ntwo cats\r\n", "ein Haus\u2028hier"]
    for n in (0, 1):
        members = [
            (f"s{i:03}.{kind}", data)
            for i in range(2 * n, min(3, 2 * n + 2))
            for kind, data in (("png", encoded(i)), ("txt", texts[i].encode()))
        ]
        write(tmp_path / f"test/{n}.tar", members)
    (tmp_path / "test/nshards.txt").write_text("2")
    (tmp_path / "dataset_type.txt").write_text("retrieval\n")
    return tmp_path


class TestCaptionShards(DatasetConformance):
    @pytest.fixture
    def dataset(self, shards: Path) -> CaptionShards:
        return CaptionShards(shards)


def test_lines_are_captions(shards):
    split = CaptionShards(shards).load("test")
    assert split.ids == split.groups == ["0/s000", "0/s001", "1/s002"]
    assert split.targets == [("a dog", "a red dog"), ("a cat", "two cats"), ("ein Haus\u2028hier",)]
    assert [split[n].image.data for n in range(3)] == [encoded(n) for n in range(3)]
    assert split.remarks == [
        "1 lines of texts are empty, and no captions",
        "2 of 3 images have 2 captions, others more or fewer (1: 1); 5 in all",
    ]


def test_as_clip_benchmark_reads(shards):
    builder = pytest.importorskip("clip_benchmark.datasets.builder")
    texts = [b"a dog\na red dog", b"a cat", b"x\ny\nz"]
    for n in (0, 1):
        members = [
            (f"k{i}{n}.{kind}", data)
            for i in range(3)
            for kind, data in (("png", encoded(i)), ("txt", texts[i]))
        ]
        write(shards / f"test/{n}.tar", members)
    theirs = builder.build_wds_dataset(
        "captions", lambda image: image.size, split="test", data_dir=str(shards)
    )
    ours = CaptionShards(shards).load("test")
    assert [list(found) for found in ours.targets] == [found for _, found in theirs]
    assert len(ours) == 6


def test_what_is_left_out_is_counted(shards):
    members = [
        ("a.png", encoded(1)), ("a.txt", "un café".encode("cp1252")), ("a.json", b"{}"), ("b.png", encoded(2)),
        ("c.txt", b"no image"), ("d.png", encoded(3)), ("d.txt", b" \n"), ("e.png", encoded(4)), ("e.txt", b"x\nx"),
    ]  # fmt: skip
    write(shards / "test/0.tar", members)
    (shards / "test/nshards.txt").write_text("1")
    (shards / "dataset_type.txt").unlink()
    split = CaptionShards(shards).load("test")
    assert split.targets == [("un café",), ("x", "x")]
    said = "\n".join(split.remarks)
    for part in (
        "1 of 5 samples have no image and are left out (first: 0/c)",
        "1 of 5 samples have no text (.txt) and are left out (first: 0/b)",
        "1 of 3 texts are empty, and their samples left out (first: 0/d)",
        "(first: 0.tar:a.json)", "1 of 3 texts are read as cp1252", "dataset_type.txt does not say 'retrieval'",
        "1 of 3 captions repeat another of the same image",
    ):  # fmt: skip
        assert part in said
    assert CaptionShards(shards, encoding="cp437").load("test").targets[0] == ("un cafΘ",)
    write(shards / "test/0.tar", members[3:4])
    with pytest.raises(DataError, match=r"no sample has an image and a text .*1 of 1 samples have no text"):
        CaptionShards(shards).load("test")
    assert "no such folder" in CaptionShards(shards / "none").unavailable()
