"""MVSA, Hateful Memes and shards of pairs: their layouts, label rules and reports."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from harness import testing
from harness.errors import DataError
from harness.inference.images import decode
from harness_data.hateful_memes import HatefulMemes
from harness_data.mvsa import CLASSES, MVSA, join_mvsa_labels, vote_mvsa_label
from harness_data.pair_shards import PairShards


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _image(kind="JPEG", mode="RGB"):
    file = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).convert(mode).save(file, kind)
    return file.getvalue()


def test_the_label_rule_of_mvsa():
    table = {(t, i): join_mvsa_labels(t, i) for t in CLASSES for i in CLASSES}
    assert {pair for pair, label in table.items() if label is None} == {
        ("negative", "positive"), ("positive", "negative"),
    }  # fmt: skip
    for (text, image), label in table.items():
        if label is not None:
            polar = {text, image} - {"neutral"}
            assert label == (polar.pop() if polar else "neutral")
    assert vote_mvsa_label(["a", "b", "a"]) == "a"
    assert vote_mvsa_label(["a", "b", "c"]) is None
    assert vote_mvsa_label(["a"]) == "a"


def _mvsa(folder, header, rows):
    (folder / "data").mkdir(parents=True)
    for row in rows:
        identity = row.split("\t")[0]
        (folder / "data" / f"{identity}.jpg").write_bytes(_image())
        (folder / "data" / f"{identity}.txt").write_bytes(f"tweet {identity} £".encode("latin-1"))
    (folder / "labelResultAll.txt").write_text("\n".join([header, *rows]) + "\n")
    return MVSA(folder)


def test_mvsa_single(tmp_path):
    data = _mvsa(
        tmp_path / "MVSA_Single",
        "ID\ttext,image",
        [
            "1\tpositive,positive",
            "2\tneutral,negative",
            "3\tpositive,negative",
            "4\tneutral,neutral",
            "5\tgood,bad",
        ],
    )
    assert data.splits == ("all",)
    split = data.load("all")
    assert split.ids == ["1", "2", "4"]
    assert [split.class_names[t] for t in split.targets] == ["positive", "negative", "neutral"]
    assert split.groups["text_polarity"].tolist() == ["positive", "neutral", "neutral"]
    assert split.groups["agreement"].tolist() == [True, False, True]
    assert split.report["whole"]["labels opposite"]["names"] == ["3"]
    assert split.report["whole"]["row broken"]["names"] == ["labelResultAll.txt:6"]
    # the files of a pair that the rule drops belong to it; those of a broken row to none
    assert split.report["whole"]["image without id"]["names"] == ["data/5.jpg"]
    assert split.texts[0] == "tweet 1 £"


def test_mvsa_multiple_takes_the_majority_of_each_modality(tmp_path):
    votes = {
        "1": "positive,neutral\tpositive,neutral\tnegative,positive",  # positive, neutral
        "2": "positive,neutral\tneutral,neutral\tnegative,neutral",  # none, neutral
        "3": "negative,positive\tnegative,positive\tneutral,neutral",  # opposite
        "4": "neutral,negative\tneutral,negative\tneutral,positive",  # neutral, negative
    }
    data = _mvsa(tmp_path, "ID\ttext,image\ttext,image\ttext,image", [f"{k}\t{v}" for k, v in votes.items()])
    split = data.load("all")
    assert split.ids == ["1", "4"]
    assert [split.class_names[t] for t in split.targets] == ["positive", "negative"]
    assert split.report["whole"]["labels without majority"]["names"] == ["2"]
    assert split.report["whole"]["labels opposite"]["names"] == ["3"]


def test_mvsa_that_is_not_there_says_where_to_get_it(tmp_path):
    assert "labelResultAll.txt" in (MVSA(tmp_path).unavailable() or "")
    assert MVSA(tmp_path).splits == ()
    with pytest.raises(DataError, match="labelResultAll"):
        MVSA(tmp_path).load("all")


def _memes(folder, *, labelled_test, names=("train", "dev_seen", "test_seen")):
    (folder / "img").mkdir(parents=True)
    number = 0
    for name in names:
        lines = []
        for i in range(4):
            identity = f"{number:05d}"
            (folder / "img" / f"{identity}.png").write_bytes(_image("PNG"))
            line = {
                "id": int(identity),
                "img": f"img/{identity}.png",
                "label": i % 2,
                "text": f"meme {number}",
            }
            if name.startswith("test") and not labelled_test:
                del line["label"]
            lines.append(json.dumps(line))
            number += 1
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return folder


def test_hateful_memes_with_and_without_labels_of_the_test_part(tmp_path):
    data = HatefulMemes(_memes(tmp_path / "a", labelled_test=True))
    assert data.splits == ("train", "val", "test")
    split = data.load("val")
    assert split.class_names == ["not hateful", "hateful"]
    assert split.targets.tolist() == [0, 1, 0, 1]
    assert split.texts[0] == "meme 4"
    assert split.has_image.all()
    assert not split.report["kinds"]
    bare = HatefulMemes(_memes(tmp_path / "b", labelled_test=False, names=("train", "dev", "test")))
    assert bare.splits == ("train", "val", "unlabelled")
    assert bare.load("unlabelled").ids == ["8", "9", "10", "11"]
    assert "dev_unseen" in (HatefulMemes(tmp_path / "b", phase="unseen").unavailable() or "")


def _shards(folder, samples, class_names=None):
    (folder / "train").mkdir(parents=True)
    for number in range(2):
        with tarfile.open(folder / "train" / f"{number}.tar", "w") as tar:
            for name, data in samples[number::2]:
                for extension, content in data.items():
                    info = tarfile.TarInfo(f"{name}.{extension}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    (folder / "train" / "nshards.txt").write_text("2")
    if class_names:
        (folder / "classnames.txt").write_text("\n".join(class_names))
    return PairShards(folder)


def test_shards_of_pairs_with_dirt(tmp_path):
    samples = [
        ("a", {"jpg": _image(), "txt": b"good", "cls": b"1"}),
        ("b", {"jpg": _image(mode="L"), "txt": "très bien".encode("latin-1"), "cls": b"0"}),
        ("c", {"jpg": _image()[:20], "txt": b"cut", "cls": b"sad"}),
        ("d", {"txt": b"no image", "cls": b"1"}),
        ("e", {"png": _image("PNG"), "json": json.dumps({"caption": "from json", "label": "glad"}).encode()}),
        ("f", {"jpg": _image(), "txt": b"no label"}),
        ("g", {"jpg": _image(), "txt": b"unknown", "cls": b"7"}),
        ("h", {"jpg": _image(), "json": b"{broken"}),
        ("i", {"cls": b"0"}),
    ]
    split = _shards(tmp_path, samples, ["sad", "glad"]).load("train")
    rows = {identity.split("/")[1]: i for i, identity in enumerate(split.ids)}
    assert sorted(rows) == ["a", "b", "c", "d", "e"]
    assert {k: int(split.targets[i]) for k, i in rows.items()} == {"a": 1, "b": 0, "c": 0, "d": 1, "e": 1}
    assert split.texts[rows["b"]] == "très bien"
    assert split.texts[rows["e"]] == "from json"
    counts = {k: v["count"] for k, v in {**split.report["kinds"], **split.report["whole"]}.items()}
    assert counts == {
        "text missing": 1, "image missing": 2, "image unreadable": 1, "image greyscale": 1,
        "text not in UTF-8": 1, "neither text nor image": 1, "label null": 2, "label unknown": 1, "row broken": 1,
    }  # fmt: skip
    assert split.report["kinds"]["image unreadable"]["names"][0].endswith("0.tar:c.jpg")
    assert all(decode(split[i].image).mode == "RGB" for i in range(len(split)) if split.has_image[i])


def test_shards_without_class_names_take_the_labels_found(tmp_path):
    samples = [(str(i), {"txt": b"x", "cls": label}) for i, label in enumerate((b"glad", b"sad", b"glad"))]
    split = _shards(tmp_path, samples).load("train")
    assert split.class_names == ["glad", "sad"]
    assert sorted(split.targets.tolist()) == [0, 0, 1]


def test_a_collection_of_which_nothing_is_left_says_why(tmp_path):
    samples = [(str(i), {"txt": b"x", "cls": b"happy"}) for i in range(3)]
    with pytest.raises(DataError, match=r"no pair has a readable text or image \(label unknown: 3\)"):
        _shards(tmp_path, samples, ["sad", "glad"]).load("train")


def test_shards_without_any_labels_can_be_predicted(tmp_path):
    samples = [(str(i), {"txt": b"x", "jpg": _image()}) for i in range(3)]
    split = _shards(tmp_path, samples, ["glad", "sad"]).load("train")
    assert split.targets.tolist() == [-1, -1, -1]
    assert split.class_names == ["glad", "sad"]


class TestMVSA(testing.DatasetConformance):
    @pytest.fixture
    def dataset(self, tmp_path):
        rows = [f"{i}\t{c},{c}" for i, c in enumerate(CLASSES)]
        return _mvsa(tmp_path, "ID\ttext,image", rows)


class TestHatefulMemes(testing.DatasetConformance):
    @pytest.fixture
    def dataset(self, tmp_path):
        return HatefulMemes(_memes(tmp_path / "memes", labelled_test=False))


class TestPairShards(testing.DatasetConformance):
    @pytest.fixture
    def dataset(self, tmp_path):
        samples = [(str(i), {"txt": b"words", "jpg": _image(), "cls": b"01"[i % 2 :][:1]}) for i in range(4)]
        return _shards(tmp_path / "shards", samples)
