"""Captions scored against images: the evidence, the strict share, and Winoground's three scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError
from harness_metrics.caption_choices import CaptionChoices
from harness_metrics.choice_scores import GroupScores, StrictChoice


def choose(scores: Sequence[Sequence[float]], **columns: Any) -> CaptionChoices:
    """Samples of which the first caption is right, if nothing else is given."""
    count = len(scores)
    defaults: dict[str, Any] = {
        "ids": [f"s{n}" for n in range(count)],
        "groups": [f"g{n}" for n in range(count)],
        "choices": [[f"caption {n}" for n in range(len(own))] for own in scores],
        "right": [0] * count,
    }
    return CaptionChoices(scores=scores, **{**defaults, **columns})


def pair(*scores: float, groups: str = "g") -> dict[str, list[Any]]:
    """The columns of one pair: the scores of caption 0 and 1 for image 0, then for image 1."""
    return {
        "ids": [f"{groups}-{n}" for n in range(2)],
        "groups": [groups] * 2,
        "choices": [["a b", "b a"]] * 2,
        "right": [0, 1],
        "scores": [list(scores[:2]), list(scores[2:])],
    }


def join(*pairs: dict[str, list[Any]]) -> CaptionChoices:
    return CaptionChoices(**{name: [v for one in pairs for v in one[name]] for name in pairs[0]})


def columns_of(choices: CaptionChoices) -> dict[str, Any]:
    return {field.name: getattr(choices, field.name) for field in fields(choices)}


def test_only_strictly_the_best_is_right() -> None:
    choices = choose([[0.3, 0.2], [0.2, 0.2], [0.2, 0.3], [0.5, 0.4, 0.5], [1.0, -np.inf, 0.9]])
    assert StrictChoice().per_sample(choices).tolist() == [1, 0, 0, 0, 1]
    assert StrictChoice()(choices) == 2 / 5


def test_a_constant_model_is_right_nowhere() -> None:
    """Reference check 25: SugarCrepe and Winoground 0, where clip_benchmark says 1."""
    pairs = join(*(pair(0.25, 0.25, 0.25, 0.25, groups=f"{n}") for n in range(5)))
    assert StrictChoice()(pairs) == 0
    assert GroupScores()(pairs) == {"text": 0, "image": 0, "group": 0}


def test_a_model_without_eyes_has_no_winoground_score() -> None:
    """The same scores for both images: it is right about one of them, and never about both."""
    pairs = join(pair(0.3, 0.1, 0.3, 0.1, groups="a"), pair(0.1, 0.2, 0.1, 0.2, groups="b"))
    assert GroupScores()(pairs) == {"text": 0, "image": 0, "group": 0}
    assert StrictChoice()(pairs) == 1 / 2


def test_chance_is_a_quarter_a_quarter_and_a_sixth() -> None:
    """Over all orders of four different scores."""
    orders = [pair(*order, groups=f"{n}") for n, order in enumerate(permutations([0.1, 0.2, 0.3, 0.4]))]
    found = GroupScores()(join(*orders))
    assert found == pytest.approx({"text": 1 / 4, "image": 1 / 4, "group": 1 / 6})


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.4, 0.1, 0.2, 0.3), (1, 1, 1)),
        ((0.4, 0.3, 0.5, 0.6), (1, 0, 0)),  # image 1 likes both captions more
        ((0.4, 0.5, 0.1, 0.6), (0, 1, 0)),
        ((0.4, 0.1, 0.4, 0.5), (1, 0, 0)),  # a tie between the images
        ((0.1, 0.4, 0.3, 0.2), (0, 0, 0)),
    ],
)
def test_winoground_by_hand(scores: tuple[float, ...], expected: tuple[int, ...]) -> None:
    found = GroupScores()(join(pair(*scores)))
    assert tuple(found.values()) == expected
    assert GroupScores().per_sample(join(pair(*scores))).tolist() == [expected[2]] * 2


def test_captions_are_matched_by_text_and_not_by_place() -> None:
    columns = pair(0.4, 0.1, 0.2, 0.3)
    columns["choices"][1], columns["scores"][1], columns["right"] = ["b a", "a b"], [0.3, 0.2], [0, 0]
    assert GroupScores()(join(columns)) == {"text": 1, "image": 1, "group": 1}


@given(st.lists(st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=4, max_size=4), min_size=1, max_size=6))
def test_group_needs_text_and_image_and_no_order_matters(scores: list[list[float]]) -> None:
    choices = join(*(pair(*own, groups=f"{n}") for n, own in enumerate(scores)))
    judged = GroupScores().judge_samples(choices)
    assert (judged["group"] == judged["text"] * judged["image"]).all()
    assert GroupScores()(choices.shuffled(3)) == pytest.approx(GroupScores()(choices))
    # the text score of a pair is that both its images are right
    both = StrictChoice().per_sample(choices).reshape(-1, 2).min(1)
    assert judged["text"].reshape(-1, 2)[:, 0].tolist() == both.tolist()


def ask_clip_benchmark(images: np.ndarray[Any, Any], texts: np.ndarray[Any, Any]) -> dict[str, float]:
    """clip_benchmark's numbers of embeddings: images N×I×D, texts N×C×D."""
    import torch
    from clip_benchmark.metrics.image_caption_selection import evaluate

    model = SimpleNamespace(encode_image=lambda pixels: pixels.flatten(1), encode_text=lambda rows: rows)
    flat = torch.tensor(texts.reshape(-1, texts.shape[-1]), dtype=torch.float32)
    pixels = torch.tensor(images, dtype=torch.float32)[..., None, None]
    words = [
        [int(n) for n in own] for own in np.arange(texts.shape[0] * texts.shape[1]).reshape(texts.shape[:2])
    ]
    found: dict[str, float] = evaluate(model, [(pixels, words)], lambda rows: flat[rows], "cpu", amp=False)
    return found


def compare_embeddings(images: np.ndarray[Any, Any], texts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Cosines N×I×C."""
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (images, texts)]
    return np.einsum("nid,ncd->nic", *unit)


def test_pairs_agree_with_clip_benchmark_where_nothing_ties() -> None:
    rng = np.random.default_rng(4)
    images, texts = rng.normal(size=(2, 60, 2, 8))
    theirs = ask_clip_benchmark(images, texts)
    scores = compare_embeddings(images, texts).reshape(60, 4)
    ours = GroupScores()(join(*(pair(*own, groups=f"{n}") for n, own in enumerate(scores))))
    assert ours == pytest.approx(
        {"text": theirs["text_acc"], "image": theirs["image_acc"], "group": theirs["acc"]}
    )
    assert 0 < ours["group"] < ours["text"] < 1


def test_single_images_agree_with_clip_benchmark_but_for_ties() -> None:
    rng = np.random.default_rng(5)
    images, texts = rng.normal(size=(60, 1, 8)), rng.normal(size=(60, 2, 8))
    ours = StrictChoice()(choose(compare_embeddings(images, texts)[:, 0].tolist()))
    assert ours == pytest.approx(ask_clip_benchmark(images, texts)["text_acc"])
    texts[:] = 1
    assert ask_clip_benchmark(images, texts)["text_acc"] == 1  # a tie is right there
    assert StrictChoice()(choose([[0.3, 0.3]] * 60)) == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"groups": ["x", "y"]}, "group 'x' has 1 image .*--limit"),
        ({"choices": [["a b", "b a"], ["a b", "c"]]}, "group 'g' has other captions for each image"),
        ({"right": [0, 0]}, "group 'g' has one caption that is right for both"),
        ({"choices": [["a", "a"]] * 2}, "group 'g' has not two different captions"),
        (
            {"choices": [["a", "b", "c"]] * 2, "scores": [[1, 2, 3]] * 2},
            "group 'g' has not two different captions",
        ),
    ],
)
def test_what_is_no_pair_is_refused_by_name(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=f"group-scores: {problem}"):
        GroupScores()(join(pair(0.4, 0.1, 0.2, 0.3) | change))


@pytest.mark.parametrize(
    ("scores", "columns", "problem"),
    [
        ([[0.1, np.nan]], {}, "sample 's0' has the score nan for 'caption 1'"),
        ([[np.inf, 0.1]], {}, "sample 's0' has the score inf"),
        ([[0.1]], {}, "sample 's0' has 1 captions"),
        ([[0.1, 0.2]], {"choices": [["a", "b", "c"]]}, "has 2 scores for 3 captions"),
        ([[0.1, 0.2]], {"right": [2]}, "has caption 2 as the right one of 2"),
        ([[0.1, 0.2]] * 2, {"ids": ["a", "a"]}, "sample 'a' is there twice"),
        ([[0.1, 0.2]], {"groups": []}, "0 groups for 1 ids"),
        ([[0.1, 0.2]], {"categories": ["a", "b"]}, "2 categories for 1 ids"),
    ],
)
def test_contradictions_are_refused(scores: Any, columns: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        choose(scores, **columns)


def test_nothing_to_measure_is_said() -> None:
    for metric, name in ((StrictChoice(), "strict-choice"), (GroupScores(), "group-scores")):
        with pytest.raises(DataError, match=f"{name}: there are no samples"):
            metric(choose([]))


@given(st.floats(0, 1), st.integers(0, 99))
def test_packed_and_unpacked_it_is_the_same(quality: float, seed: int) -> None:
    choices = CaptionChoices.example(quality, seed)
    assert columns_of(CaptionChoices.unpack(choices.pack())) == columns_of(choices)
    assert GroupScores()(choices)["group"] == pytest.approx(round(quality * 40) / 40)


def test_it_is_kept_with_a_record(tmp_path: Path) -> None:
    from harness.records.evidence_files import read_header, write_evidence

    record: Any = SimpleNamespace(id="r", provenance={"started": "now"}, cell={})
    choices = choose([[0.1, -np.inf, 1 / 3], [0.1, 0.2]], categories=["swap", "odd"])
    write_evidence(tmp_path / "e.npz", record, {"": choices})
    header = read_header(tmp_path / "e.npz")
    assert header is not None
    assert columns_of(header.read([CaptionChoices])[""]) == columns_of(choices)
