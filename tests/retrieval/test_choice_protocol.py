"""The protocol `caption-choice` with models whose scores are known in advance."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness import Answers, Sample
from harness.discovery import registry
from harness_language.contracts import ContinuationScore
from harness_language.conversations import Question
from harness_metrics.caption_choices import CaptionChoices
from harness_retrieval.choice_cell import measure_choices
from harness_retrieval.choice_options import ChoiceOptions
from harness_retrieval.choice_scoring import find_first_alike

COLOURS = ("red", "green", "blue")


class Plates:
    """Images of one colour. A caption names it; the wrong one another, or the same words in an odd order."""

    splits = ("test",)
    target_kind = "answers"
    changes: dict[str, Any] = {}  # noqa: RUF012 (set by tests)

    def load(self, split: str) -> Any:
        return SimpleSplit(**Plates.changes)


class SimpleSplit:
    per_sample = ("groups", "categories", "questions")

    def __init__(self, targets: Sequence[Any] | None = None, images: int = 1) -> None:
        self.labels = [n % 3 for n in range(12)]
        self.ids = [f"s{n}" for n in range(12)]
        self.groups = [f"image {n // 2}" for n in range(12)]
        self.categories = [("replace", "order")[n % 2] for n in range(12)]
        self.questions = ["Which caption?"] * 12
        self.images = images
        self.targets: list[Any] = []
        for n, colour in enumerate(self.labels):
            right = f"a {COLOURS[colour]} plate"
            wrong = f"plate a {COLOURS[colour]}" if n % 2 else f"a {COLOURS[(colour + 1) % 3]} plate"
            captions = (wrong, right) if n % 4 > 1 else (right, wrong)
            self.targets.append(Answers(choices=captions, right=captions.index(right)))
        if targets is not None:
            self.targets = list(targets)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        pixels = np.zeros((4, 4, 3), np.uint8)
        pixels[..., self.labels[row]] = 255
        return Sample(self.ids[row], images=[pixels] * self.images, target=self.targets[row])


class Eyes:
    """Embeds colours of images and colour words, and nothing else: blind to the order of words."""

    logit_scale = 100.0

    def load(self, device: Any) -> None:
        pass

    def prepare(self, image: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return 7 * images.mean((2, 3))

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[float(colour in text) for colour in COLOURS] for text in texts])


class Constant(Eyes):
    """Embeds every text alike."""

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.ones(len(texts), 3)


class Noisy(Constant):
    """Embeds every text alike up to rounding, better for the first of a batch."""

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.ones(len(texts), 3) + 1e-7 * torch.randn(
            len(texts), 3, generator=torch.Generator().manual_seed(3)
        )


class Broken(Eyes):
    """Embeds one caption as no number."""

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        found = super().encode_text(texts)
        found[list(texts).index("a blue plate")] = float("nan")
        return found


class Lengths(Eyes):
    """Compares by products, and embeds texts that begin with an article in the same direction but longer."""

    similarity = "dot"

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        longer = torch.tensor([[1.0 + text.startswith("a ")] for text in texts])
        return super().encode_text(texts) * longer


class OwnScore(Eyes):
    """Compares by itself, and prefers short texts."""

    def score(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        return -torch.cdist(images / 7, texts)


class Grammar:
    """Finds captions plausible that begin with an article."""

    def load(self, device: Any) -> None:
        pass

    def plausibility(self, texts: Sequence[str]) -> list[float]:
        return [float(text.startswith("a ")) for text in texts]


class Speaker:
    """Finds longer texts less likely, and none that begins with "plate"."""

    sees_images = False
    asked: list[Question] = []  # noqa: RUF012

    def load(self, device: Any) -> None:
        Speaker.asked = []

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        Speaker.asked += questions
        return [
            [ContinuationScore(-float(len(t)) - 99 * t.startswith(" plate"), len(t), False) for t in own]
            for own in continuations
        ]


class Viewer(Speaker):
    """The same, but for models that see."""

    sees_images = True


MODELS = {
    "eyes": Eyes, "constant": Constant, "noisy": Noisy, "broken": Broken, "own": OwnScore, "lengths": Lengths, "grammar": Grammar,
    "speaker": Speaker, "viewer": Viewer,
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch) -> Iterator[Callable[..., Any]]:
    """A function that runs toy models on the plates and returns their records by model."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    def run(*models: str, protocol: dict[str, Any] | None = None, metrics=("strict-choice",), **changes: Any):
        monkeypatch.setattr(Plates, "changes", changes)
        suite = {
            "name": "toy", "protocol": {"plugin": "caption-choice", **(protocol or {})}, "models": list(models),
            "datasets": ["plates"], "metrics": list(metrics), "seeds": [0],
        }  # fmt: skip
        found = harness.run(suite, store=tmp_path / "store", device="cpu", executor="inline")
        return {record.coordinates["model"]: record for record in found.records}

    with ExitStack() as stack:
        for name, factory in MODELS.items():
            stack.enter_context(registry.register_temporarily("models", name, factory))
        stack.enter_context(registry.register_temporarily("datasets", "plates", Plates))
        yield run


def test_who_looks_and_who_reads(run, tmp_path):
    """Colours need the image, odd orders only the words: neither model does both."""
    records = run("eyes", "grammar")
    eyes, grammar = records["eyes"].metrics, records["grammar"].metrics
    assert eyes == {
        "strict-choice": 1 / 2, "strict-choice.replace": 1, "strict-choice.order": 0, "strict-choice.category-mean": 1 / 2,
    }  # fmt: skip
    assert grammar["strict-choice.order"] == 1
    assert grammar["strict-choice.replace"] == 0
    assert any("without the image" in text for text in records["grammar"].remarks)
    assert any(
        "6 of 12 samples have different captions that are the same" in t for t in records["eyes"].remarks
    )
    samples = harness.Store(tmp_path / "store").samples(records["eyes"].id)
    assert samples["cluster"].nunique() == 6
    assert samples["strict-choice"].tolist() == [1, 0] * 6
    assert samples["best_caption"][0] == "a red plate"
    assert set(samples["best_caption"][1].split(" = ")) == {"a green plate", "plate a green"}
    assert (samples["score"] >= samples["best_other_score"]).all()
    assert records["eyes"].notes["chance"] == {"strict-choice": 1 / 2}


@pytest.mark.parametrize("model", ["constant", "noisy"])
def test_a_model_that_finds_all_captions_equal_is_right_nowhere(run, model):
    """Reference check 25; rounding of equal embeddings is no preference."""
    record = run(model)[model]
    assert record.metrics["strict-choice"] == 0
    assert any("12 of 12 samples have different captions" in text for text in record.remarks)


def test_an_embedding_that_is_no_number_names_the_sample(run):
    """Reference check 34."""
    record = run("broken")["broken"]
    assert record.status == "failed"
    assert "sample 's2'" in record.reason
    assert "not finite" in record.reason


def test_lengths_count_for_a_model_that_compares_by_products(run):
    assert run("lengths")["lengths"].metrics["strict-choice"] == 1


def test_a_model_may_compare_by_itself(run):
    assert run("own")["own"].metrics["strict-choice.replace"] == 1


def test_language_models_that_see_no_image_score_the_text(run):
    record = run("speaker", protocol={"prompt": "Say something."})["speaker"]
    assert record.metrics["strict-choice.order"] == 1
    assert [part for question in Speaker.asked for turn in question.turns for part in turn.parts] == [
        "Say something."
    ]
    assert record.notes["prompt"] == "Say something."
    # lengths alone: "a red plate" is shorter than "a green plate", and this than no other
    assert 0 < record.metrics["strict-choice.replace"] < 1
    per_token = run("speaker", protocol={"normalise": "token"})["speaker"]
    assert per_token.metrics["strict-choice.replace"] == 0  # −1 each


def test_models_that_see_and_speak_are_sent_to_the_other_protocol(run):
    from harness_retrieval.choice_protocol import CaptionChoosing

    protocol = CaptionChoosing()
    assert "'answering' with how = 'likelihood'" in str(protocol.cannot(Viewer(), Plates(), None, {}))
    assert "neither encodes images and texts nor judges" in str(protocol.cannot(object(), Plates(), None, {}))
    assert "takes no method" in str(protocol.cannot(Eyes(), Plates(), object(), {}))
    assert protocol.cannot(Eyes(), Plates(), None, {}) is None
    with pytest.raises(harness.OptionError, match="fewest must be at least 1"):
        CaptionChoosing(fewest=0)
    with pytest.raises(harness.OptionError, match="prompt must be a text"):
        CaptionChoosing(prompt=" ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"targets": [Answers(("a",))] * 12}, "sample 's0' has no captions to choose from"),
        ({"targets": [Answers(choices=("a", "b"))] * 12}, "sample 's0' has no right caption among its 2"),
        ({"images": 2}, "sample 's0' has 2 images.*'answering'"),
        ({"images": 0}, "sample 's0' has no images, and captions are chosen for one"),
    ],
)
def test_other_questions_are_refused(run, change, problem):
    record = run("eyes", **change)["eyes"]
    assert record.status == "failed"
    assert re.search(problem, record.reason)


def test_models_that_do_not_look_need_no_images(run):
    assert run("grammar", images=0)["grammar"].metrics["strict-choice.order"] == 1


def test_a_wrong_caption_that_equals_the_right_one_is_told(run):
    targets = [Answers(choices=("a red plate",) * 2, right=1), *SimpleSplit().targets[1:]]
    record = run("eyes", targets=targets)["eyes"]
    assert any(
        text.startswith("1 of 12 samples have a wrong caption that is equal") for text in record.remarks
    )
    assert record.metrics["strict-choice.replace"] == 5 / 6


def test_small_categories_have_no_number(run):
    record = run("eyes", protocol={"fewest": 7})["eyes"]
    assert set(record.metrics) == {"strict-choice"}
    assert any("none of the 2 has 7 samples" in text for text in record.remarks)


def test_the_mean_over_categories_is_no_mean_over_samples():
    from harness_metrics.choice_scores import StrictChoice

    scores = [[1, 0]] * 3 + [[0, 1]]
    choices = CaptionChoices("abcd", "abcd", [["x", "y"]] * 4, scores, [0] * 4, ["big"] * 3 + ["small"])
    job: Any = SimpleNamespace(
        metrics={"strict-choice": StrictChoice()},
        failures={},
        cell=SimpleNamespace(evidence_id="e"),
        remark=print,
    )
    found = measure_choices(job, {"": choices}, ChoiceOptions().fewest)
    assert found == {
        "strict-choice": 3 / 4, "strict-choice.big": 1, "strict-choice.small": 0, "strict-choice.category-mean": 1 / 2,
    }  # fmt: skip


def test_groups_that_are_no_pairs_cost_the_group_scores_alone(run):
    record = run("eyes", metrics=("strict-choice", "group-scores"))["eyes"]
    assert record.metrics["strict-choice"] == 1 / 2
    assert not any(name.startswith("group-scores") for name in record.metrics)


def test_metrics_are_added_later_without_the_model(run, tmp_path):
    first = run("eyes")["eyes"]
    later = run("eyes", metrics=("strict-choice", {"plugin": "strict-choice", "label": "again"}))["eyes"]
    assert later.metrics["again.replace"] == first.metrics["strict-choice.replace"]
    assert later.metrics["again.category-mean"] == 1 / 2


def test_alike_are_those_that_differ_by_rounding():
    rows = np.array([[1, 0], [0, 1], [1, 1e-7], [0, 1], [1, 1e-3]], np.float64)
    assert find_first_alike(rows) == [0, 1, 0, 1, 4]


def test_multimodal_models_are_asked_the_same_data(monkeypatch, tmp_path):
    """`tiny-mllm` chooses among the same captions by likelihood, and the answers pair with those of `caption-choice`."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    suite = {
        "name": "asked", "models": ["tiny-mllm"], "datasets": [{"plugin": "scene-choices", "count": 6}],
        "protocol": {"plugin": "answering", "how": "likelihood"}, "metrics": ["choice-accuracy"], "seeds": [0],
    }  # fmt: skip
    (asked,) = harness.run(suite, store=tmp_path / "store", device="cpu", executor="inline").records
    assert asked.status == "ok", asked.reason
    blind = {"plugin": "ngram-plausibility", "corpus": {"plugin": "scene-captions", "count": 20}}
    chosen = suite | {
        "name": "chosen", "models": [blind], "protocol": "caption-choice", "metrics": ["strict-choice"],
    }  # fmt: skip
    (record,) = harness.run(chosen, store=tmp_path / "store", device="cpu", executor="inline").records
    store = harness.Store(tmp_path / "store")
    one, other = (store.samples(r.id) for r in (asked, record))
    assert sorted(one["id"]) == sorted(other["id"])
    assert len(one) == 30
    assert record.metrics["strict-choice.implausible"] == 1
