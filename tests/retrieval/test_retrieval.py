"""The protocol `retrieval` with embeddings from tables, so that every rank is known in advance."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness import OptionError
from harness_retrieval.embeddings import average_frames
from harness_retrieval.retrieval_options import RetrievalOptions

# cosines with the three images e1, e2, e3
TEXTS = {"a": (3, 2, 1), "a too": (1, 3, 2), "b": (1, 3, 2), "b too": (2, 3, 1), "c": (1, 2, 3)}
DATA = [(0, ["a", "a too"]), (1, ["b", "b too"]), (2, ["c"])]


def ranks(record: Any, tmp_path: Path, store: str = "store") -> dict[str, float]:
    samples = harness.Store(tmp_path / store).samples(record.id)
    return dict(zip(samples["id"], samples["rank"], strict=True))


def test_ranks_are_those_of_the_table(search, tmp_path):
    images, texts = search(np.eye(3), TEXTS, DATA)
    # by text: place of the own image
    assert ranks(texts, tmp_path) == {"test0#0": 1, "test0#1": 3, "test1#0": 1, "test1#1": 1, "test2#0": 1}
    assert texts.metrics == {"recall-at-k": 4 / 5, "median-rank": 1}
    # by image: e1 finds "a" first; e2 three equal texts, two of which are its own; e3 "c"
    assert ranks(images, tmp_path) == {"test0": 1, "test1": pytest.approx(4 / 3), "test2": 1}
    assert images.metrics["recall-at-k"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert (images.count, texts.count) == (3, 5)
    samples = harness.Store(tmp_path / "store").samples(texts.id).set_index("id")
    assert samples.loc["test0#1", "best_match"] == "test1"
    assert samples.loc["test0#1", "query"] == "a too"
    assert samples.loc["test0#1", "recall-at-k"] == 0
    assert set(samples["direction"]) == {"text to image"}


def test_captions_of_one_image_are_one_cluster(search, tmp_path):
    images, texts = search(np.eye(3), TEXTS, DATA)
    store = harness.Store(tmp_path / "store")
    assert store.samples(texts.id)["cluster"].tolist() == ["test0", "test0", "test1", "test1", "test2"]
    assert "5 samples in 3 clusters" in " ".join(texts.remarks)
    assert "cluster" not in store.samples(images.id)
    images, _ = search(np.eye(3), TEXTS, DATA, groups=["film", "film", "other"], store="grouped")
    assert harness.Store(tmp_path / "grouped").samples(images.id)["cluster"].tolist() == [
        "film",
        "film",
        "other",
    ]


def test_ties_by_id_take_the_first_in_the_data(search, tmp_path):
    images, _ = search(np.eye(3), TEXTS, DATA, ties="id")
    assert ranks(images, tmp_path) == {"test0": 1, "test1": 2, "test2": 1}  # "a too" comes before "b"
    assert "the candidate that comes first" in images.notes["ties"]


def test_a_constant_model_finds_by_chance(search):
    texts = dict.fromkeys(TEXTS, (1, 1))
    images, texts = search(
        np.ones((3, 2)),
        texts,
        DATA,
        suite={"metrics": ["recall-at-k", {"plugin": "recall-at-k", "k": 2, "label": "two"}]},
    )
    assert texts.metrics == {"recall-at-k": pytest.approx(1 / 3), "two": pytest.approx(2 / 3)}
    assert images.metrics["recall-at-k"] == pytest.approx((2 / 5 + 2 / 5 + 1 / 5) / 3)


def test_a_caption_is_right_for_its_own_image_alone(search):
    found = search(np.eye(2), {"same": (2, 1), "b": (1, 2)}, [(0, ["same"]), (1, ["same", "b"])])
    for record in found:
        assert "2 of 3 texts are also the text of another image" in " ".join(record.remarks)
    assert found[1].metrics["recall-at-k"] == pytest.approx(2 / 3)  # "same" of the second finds the first
    assert found[0].metrics["recall-at-k"] == pytest.approx((1 / 2 + 1) / 2)


def test_the_first_captions_and_the_template(search):
    texts = {"a photo of a": (1, 0), "a photo of b": (0, 1)}
    data = [(0, ["a", "x"]), (1, ["b"])]
    images, found = search(np.eye(2), texts, data, captions=1, template="a photo of {}")
    assert found.metrics["recall-at-k"] == 1
    assert (found.count, images.notes["candidates"]) == (2, 2)
    assert not any("fewer" in remark for remark in found.remarks)


def test_what_is_left_out_is_said(search):
    data = [(0, ["a", " "]), (1, [""]), (1, ["b", "a"])]
    found = search(np.eye(2), {"a": (1, 0), "b": (0, 1)}, data, captions=2)[0]
    said = " ".join(found.remarks)
    assert "shown: 2 of 5 captions are blank and left out" in said
    assert "1 of 3 images have no caption and are left out" in said
    assert "1 of 3 images have fewer than 2 captions, all of which count" in said
    assert found.count == 2


def test_inner_products_are_not_normalised(search):
    tables = np.array([[1, 0], [3, 3]]), {"a": (1, 0), "b": (0, 1)}, [(0, ["a"]), (1, ["b"])]
    one, by_product = search(
        *tables, directions=["text to image"], suite={"models": ["lookup", "lookup-dot"]}
    )
    assert one.metrics["recall-at-k"] == 1
    assert by_product.metrics["recall-at-k"] == 1 / 2  # the long second image is the nearest of both
    assert by_product.notes["similarity"] == "dot"


@pytest.mark.parametrize("direction", ["image to text", "text to image"])
def test_frames_are_normalised_then_averaged_then_normalised(search, direction):
    half = 0.5**0.5
    assert average_frames(torch.tensor([[2.0, 0], [0, 1]]), [2])[0].tolist() == pytest.approx([half, half])
    several = average_frames(torch.tensor([[2.0, 0], [0, 1], [0, 5]]), [2, 1])
    assert several.flatten().tolist() == pytest.approx([half, half, 0, 1])
    assert average_frames(torch.tensor([[2.0, 0], [0, 1]]), [2], unit=False)[0].tolist() == [1, 0.5]
    # a film of (2, 0) and (0, 1) is nearest to (1, 1); a mean of plain embeddings would be at (.894, .447)
    tables = np.array([[2.0, 0], [0, 1], [0.894, 0.447]]), {"film": (0.707, 0.707), "still": (0.894, 0.447)}
    found = search(*tables, [((0, 1), ["film"]), ((2,), ["still"])], directions=[direction])
    assert found[0].metrics["recall-at-k"] == 1


@pytest.mark.parametrize(("batch_size", "frames"), [(1, 3), (7, 3), (2, 1)])
def test_batches_change_nothing(search, tmp_path, batch_size, frames):
    rng = np.random.default_rng(3)
    texts = {str(n): rng.normal(size=8) for n in range(40)}
    data = [(tuple(range(n, n + 1 + n % frames)), [str(n), str(n + 20)]) for n in range(20)]
    tables = rng.normal(size=(24, 8)), texts, data
    usual = search(*tables)
    other = search(*tables, store="other", run={"batch_size": batch_size, "cache": tmp_path / "other cache"})
    for a, b in zip(usual, other, strict=True):
        assert ranks(a, tmp_path) == ranks(b, tmp_path, "other")
        assert a.metrics == b.metrics


@pytest.mark.parametrize("options", [{"memory": 1}, {"engine": "faiss"}])
def test_memory_and_engine_change_nothing(search, tmp_path, options):
    if "engine" in options:
        pytest.importorskip("faiss")
    rng = np.random.default_rng(5)
    texts = {str(n): rng.normal(size=8) for n in range(40)}
    tables = rng.normal(size=(20, 8)), texts, [(n, [str(n), str(n + 20)]) for n in range(20)]
    suite = {"metrics": ["recall-at-k", "mean-average-precision", "hubness-skew"]}
    for a, b in zip(
        search(*tables, suite=suite), search(*tables, suite=suite, store="b", **options), strict=True
    ):
        assert ranks(a, tmp_path) == ranks(b, tmp_path, "b")
        assert a.metrics == b.metrics
        assert a.id == b.id  # they decide no result


def test_a_missing_engine_is_said_at_planning(monkeypatch):
    from harness_retrieval import protocol

    monkeypatch.setattr(protocol, "find_spec", lambda name: None)
    assert "pip install 'vision-harness[faiss]'" in str(
        protocol.RetrievalProtocol(engine="faiss").unavailable()
    )
    assert protocol.RetrievalProtocol().unavailable() is None


def test_models_are_compared_by_query_and_clustered_by_image(search, tmp_path):
    rng = np.random.default_rng(1)
    data = [(n, [f"{n}", f"{n} too"]) for n in range(30)]
    images = rng.normal(size=(30, 6))
    texts = {t: images[n] + rng.normal(size=6) for n, own in data for t in own}
    search(images, texts, data, store="a")
    search(images, {t: v + 2 * rng.normal(size=6) for t, v in texts.items()}, data, store="b")
    found = harness.compare(str(tmp_path / "a"), str(tmp_path / "b"), metrics="all").frame()
    row = found[(found["metric"] == "recall-at-k") & (found["direction"] == "text to image")].iloc[0]
    assert row["difference"] < 0
    assert row["low"] < row["difference"] < row["high"]
    assert row["p_value"] < 0.05
    assert found["direction"].nunique() == 2


def test_metrics_added_later_come_from_the_kept_ranks(search, tmp_path):
    first = search(np.eye(3), TEXTS, DATA)[1]
    later = search(np.eye(3), TEXTS, DATA, suite={"metrics": ["mean-average-precision", "hubness-skew"]})[1]
    assert later.metrics["mean-average-precision"] == pytest.approx((1 + 1 / 3 + 1 + 1 + 1) / 5)
    assert later.metrics["hubness-skew"] == 0  # all three images are among the first ten of all texts
    assert later.provenance["started"] == first.provenance["started"]


def test_hubs_are_counted_among_the_first(search):
    # the second image is the nearest of all four texts
    texts = {"a": (1, 3), "b": (0, 1), "c": (1, 4), "d": (1, 5)}
    data = [(0, ["a", "c"]), (1, ["b", "d"]), (2, ["a"])]
    found = search([[1, 0], [0, 1], [-1, 0]], texts, data, depth=1, suite={"metrics": ["hubness-skew"]})[1]
    assert found.metrics["hubness-skew"] == pytest.approx(2**-0.5)  # occurrences 0, 5, 0
    assert found.notes["depth"] == 1


# ------------------------------------------------------------------------------ image-text pairs


def test_pairs_of_which_a_part_is_missing_are_left_out(search):
    suite = {"datasets": [{"plugin": "scene-pairs", "count": 60, "missing": 0.1}]}
    alike = defaultdict(lambda: (1.0, 1.0))
    images, texts = search(np.ones((256, 2)), alike, split="all", suite=suite)
    assert images.count == texts.count == 60 - 12
    said = " ".join(images.remarks)
    assert "scene-pairs: 12 of 60 pairs are left out: 6 have no text and 6 no image" in said
    assert "clusters" not in said
    assert texts.metrics["recall-at-k"] == pytest.approx(1 / 48)


def test_labels_without_texts_are_refused(search):
    found = search(np.eye(2), {}, [], suite={"datasets": ["plain"]})
    assert {r.status for r in found} == {"failed"}
    assert "plain: has labels, but no texts of its images" in found[0].reason


# ------------------------------------------------------------------------------ methods and refusals


@pytest.mark.parametrize("direction", ["image to text", "text to image"])
def test_a_bank_is_of_training_queries(search, direction):
    training = [(0, ["x", "y"]), (1, ["z"])]
    texts = {"a": (1, 0), "b": (0, 1), "x": (1, 1), "y": (1, 2), "z": (1, 3)}
    data = [(0, ["a"]), (1, ["b"])]
    suite = {"methods": ["nearest-of-bank"]}
    found = search(np.eye(2), texts, data, training=training, directions=[direction], suite=suite)[0]
    (bank,) = search.seen
    expected = np.eye(2) if direction == "image to text" else np.array([texts[t] for t in "xyz"])
    assert bank.numpy() == pytest.approx(expected / np.linalg.norm(expected, axis=1, keepdims=True))
    assert "the bank was seen" in found.remarks
    few = search(
        np.eye(2), texts, data, training=training, directions=[direction], suite=suite, bank=1, store="few"
    )
    assert len(search.seen[-1]) == 1
    count = 2 if direction == "image to text" else 3
    assert f"the bank has 1 of the {count} queries of the split 'train', drawn at random" in few[0].remarks


@pytest.mark.parametrize(
    ("suite", "options", "reason"),
    [
        ({"models": ["own-score"]}, {}, "scores images and texts itself"),
        ({"axes": {"direction": ["text to images"]}}, {}, "no direction 'text to images'.*'text to image'"),
        ({"methods": ["nearest-of-bank"]}, {}, "needs a bank of training queries, and the data set.* has no split for training"),
        ({"methods": ["nearest-of-bank"]}, {"bank_split": "dev"}, "has no split 'dev'"),
        ({"methods": ["nearest-of-bank"]}, {"bank_split": "test"}, "'test' is the split that is searched"),
        ({"methods": ["no-method"]}, {}, "does not say how embeddings are compared"),
        ({"models": ["tiny-vit"]}, {}, "does not encode texts"),
        ({}, {"split": "tset"}, "no split 'tset'"),
    ],
)  # fmt: skip
def test_what_can_not_be_searched_is_said_at_planning(search, suite, options, reason):
    from harness.planning.plan import make_plan
    from harness.planning.suite import parse_suite

    search(np.eye(2), {"a": (1, 0), "b": (0, 1)}, [(0, ["a"]), (1, ["b"])])
    whole = {
        "name": "toy", "protocol": {"plugin": "retrieval", **options}, "models": ["lookup"], "datasets": ["shown"],
        "metrics": ["recall-at-k"], **suite,
    }  # fmt: skip
    for planned in make_plan(parse_suite(whole)):
        assert planned.reason is not None
        assert re.search(reason, planned.reason), planned.reason


def test_embeddings_that_are_no_numbers_name_their_sample(search):
    data = [(0, ["a"]), (1, ["b"])]
    texts = {"a": (1, 0), "b": (0, 1)}
    found = search([[1, 0], [float("nan"), 1]], texts, data)[0]
    assert found.status == "failed"
    assert "shown, images: the embedding of 'test1' has NaN or infinite values" in found.reason
    found = search(np.eye(2), {**texts, "b": (float("inf"), 0)}, data)[0]
    assert "shown, texts: the embedding of 'test1#0' has NaN" in found.reason


def test_zero_embeddings_are_remarked(search):
    found = search([[1, 0], [0, 0]], {"a": (1, 0), "b": (0, 1)}, [(0, ["a"]), (1, ["b"])])[0]
    assert "1 of 2 embeddings of images are zero: all candidates tie for them" in found.remarks
    assert found.metrics["recall-at-k"] == pytest.approx((1 + 1 / 2) / 2)


def test_long_captions_are_cut_with_a_remark(search):
    texts = {"a b c d": (1, 0), "a b c": (0, 1)}
    found = search(
        np.eye(2), texts, [(0, list(texts)), (1, ["a b c d"])], suite={"models": ["short-reader"]}
    )[0]
    assert "shown: 2 of 3 texts are longer than the 3 tokens the model reads and were cut" in found.remarks


@pytest.mark.parametrize("name", ["captions", "bank", "depth", "memory"])
def test_options_are_checked(name):
    with pytest.raises(OptionError, match=f"retrieval: {name} must be at least 1, not 0"):
        RetrievalOptions(**{name: 0})
    with pytest.raises(OptionError, match="retrieval: template: 'a photo' has no place"):
        RetrievalOptions(template="a photo")


# ------------------------------------------------------------------------------ another program


def test_clip_benchmark_finds_the_same(search):
    """The whole evaluation of clip_benchmark, on random embeddings: any caption among the first k counts."""
    from clip_benchmark.metrics.zeroshot_retrieval import evaluate

    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 6)).astype(np.float32)
    texts = {f"{n}.{i}": images[n] + 1.5 * rng.normal(size=6) for n in range(40) for i in range(3)}
    data = [(n, [f"{n}.{i}" for i in range(3)]) for n in range(40)]
    metrics = [{"plugin": "recall-at-k", "k": k, "label": f"R@{k}"} for k in (1, 5)]
    by_image, by_text = search(images, texts, data, suite={"metrics": metrics})

    class Model:
        encode_image = staticmethod(lambda rows: torch.from_numpy(images)[rows])
        encode_text = staticmethod(lambda tokens: tokens)

    def tokenize(given: list[str]) -> torch.Tensor:
        return torch.tensor(np.array([texts[t] for t in given]), dtype=torch.float32)

    batches = [(torch.arange(a, a + 10), [c for _, c in data[a : a + 10]]) for a in range(0, 40, 10)]
    theirs = evaluate(Model(), batches, tokenize, "cpu", amp=False, recall_k_list=[1, 5])
    for k in (1, 5):
        assert by_image.metrics[f"R@{k}"] == pytest.approx(theirs[f"text_retrieval_recall@{k}"], abs=1e-6)
        assert by_text.metrics[f"R@{k}"] == pytest.approx(theirs[f"image_retrieval_recall@{k}"], abs=1e-6)
