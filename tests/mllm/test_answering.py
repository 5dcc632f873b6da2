"""The protocol `answering` with models whose answers are known in advance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

import harness
from harness import Answers, DataError, OptionError, Sample
from harness.discovery import registry
from harness.leaderboard.frame import shorten_columns, suite_frame
from harness_language.contracts import ContinuationScore
from harness_language.conversations import ImagePart, ModelAnswer, Question, Turn, list_images
from harness_mllm.answering_options import AnsweringOptions
from harness_mllm.likelihood import BLANK, pick_likeliest, score_choices
from harness_mllm.probe_summary import ProbeDifferences
from harness_mllm.questions import Item, build_question, order_choices

COLOURS = ("red", "green", "blue", "grey")


def paint(colour: int) -> np.ndarray[Any, Any]:
    return np.full((4, 4, 3), 40 * (colour + 1), np.uint8)


class Plates:
    """Images of one colour; the question is which, asked twice about each image."""

    splits = ("train", "test")
    target_kind = "answers"

    def load(self, split: str) -> Any:
        return PlateSplit(split)


class PlateSplit:
    per_sample = ("groups",)

    def __init__(self, split: str) -> None:
        self.labels = [n % 4 for n in range(24)]
        self.ids = [f"{split}-{n}" for n in range(24)]
        self.groups = [f"{split}-{n // 2 * 2}" for n in range(24)]
        self.targets = [Answers((COLOURS[c],), COLOURS, c) for c in self.labels]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        return Sample(
            self.ids[row], image=paint(self.labels[row]), text="Which colour?", target=self.targets[row]
        )


def see(image: ImagePart) -> str:
    return COLOURS[int(np.asarray(image.decoded())[0, 0, 0]) // 40 - 1]


class Looker:
    """Says the colour of the last image; refuses without one."""

    asked: ClassVar[list[Question]] = []

    def load(self, device: Any) -> None:
        Looker.asked = []

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        Looker.asked += questions
        return [self.answer(question) for question in questions]

    def answer(self, question: Question) -> ModelAnswer:
        images = list_images(question)
        return (
            ModelAnswer(f"It is {see(images[-1])}.")
            if images
            else ModelAnswer("", "refused", reason="no image")
        )

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        return [
            [
                ContinuationScore(0.0 if text.strip() == see(list_images(q)[-1]) else -3.0, len(text), True)
                for text in own
            ]
            for q, own in zip(questions, continuations, strict=True)
        ]


class FirstLetter(Looker):
    """Always answers A."""

    def answer(self, question: Question) -> ModelAnswer:
        return ModelAnswer("A")


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a grid of the toy plugins and returns its records."""

    def run(
        protocol: dict[str, Any],
        model: str = "looker",
        axes: dict[str, Any] | None = None,
        store="store",
        **more: Any,
    ):
        suite = {
            "name": "toy", "protocol": {"plugin": "answering", **protocol}, "models": [model], "datasets": ["plates"],
            "metrics": ["choice-accuracy", "answer-rates"], "axes": axes or {}, "seeds": [0], **more,
        }  # fmt: skip
        return harness.run(suite, store=tmp_path / store, device="cpu").records

    with (
        registry.register_temporarily("models", "looker", Looker),
        registry.register_temporarily("models", "first-letter", FirstLetter),
        registry.register_temporarily("datasets", "plates", Plates),
    ):
        yield run


def test_a_model_that_looks_is_right_and_falls_under_probes(run, tmp_path):
    probes = ["none", "no image", "another image"]
    records = {r.coordinates["probe"]: r for r in run({}, axes={"probe": probes})}
    assert records["none"].metrics["choice-accuracy"] == 1
    assert records["no image"].metrics["choice-accuracy"] == 0
    assert records["no image"].metrics["answer-rates.refused"] == 1
    assert records["another image"].metrics["choice-accuracy"] < 1
    samples = harness.Store(tmp_path / "store").samples(records["none"].id)
    assert samples["cluster"].nunique() == 12
    assert set(samples["outcome"]) == {"ok"}
    assert "24 samples in 12 clusters" in " ".join(records["none"].remarks)
    assert "choice-accuracy" not in records["none"].binary


def test_the_summary_tells_a_model_that_looks_from_one_that_does_not(run, tmp_path):
    plan = {"axes": {"probe": ["none", "no image", "another image"]}, "models": ["looker", "first-letter"]}
    plan |= {"show": "letters", "prompts": ["{question} {choices}"]}
    run({name: plan.pop(name) for name in ("show", "prompts")}, **plan)
    store = harness.Store(tmp_path / "store")
    found = ProbeDifferences(blind="first-letter")(shorten_columns(suite_frame(store, "toy")), store)
    verdicts = dict(zip(found["model"], found["verdict"], strict=True))
    assert verdicts == {"looker": "looked", "first-letter": "not shown to look"}
    gap = found[found["metric"] == "Δ from blind"]
    assert gap["value"].tolist() == [0.75]
    assert gap["note"].tolist() == ["over 12 images"]


def test_always_a_is_at_chance_and_nothing_in_circular_order(run):
    (plain,) = run({"show": "letters", "prompts": ["{question}\n{choices}"]}, "first-letter")
    assert plain.metrics["choice-accuracy"] == 0.25
    (circular,) = run(
        {"show": "letters", "prompts": ["{question}\n{choices}"], "circular": True}, "first-letter",
        metrics=["choice-accuracy", "circular-accuracy"],
    )  # fmt: skip
    assert circular.metrics["choice-accuracy"] == 0.25
    assert circular.metrics["circular-accuracy"] == 0
    assert circular.cost["questions"] == 24 * 4
    assert circular.count == 24


def test_several_prompts_are_repeated_measures_of_one_sample(run, tmp_path):
    (record,) = run({"prompts": ["{question}", "Say it: {question}"]})
    samples = harness.Store(tmp_path / "store").samples(record.id)
    assert record.count == 24
    assert len(samples) == 48
    assert samples["id"].nunique() == 24
    assert set(samples["prompt"]) == {"{question}", "Say it: {question}"}


def test_shots_come_from_another_split_and_are_the_same_for_all_questions(run):
    run({}, axes={"shots": [3]})
    assert len(Looker.asked) == 24
    before = {
        json.dumps([[str(p) for p in t.parts if isinstance(p, str)] for t in q.turns[:-1]])
        for q in Looker.asked
    }
    assert len(before) == 1
    assert all(len(list_images(q)) == 4 for q in Looker.asked)
    for question in Looker.asked:  # each shot's answer is that of its image
        for user, assistant in zip(question.turns[:-1:2], question.turns[1:-1:2], strict=True):
            (image,) = [p for p in user.parts if isinstance(p, ImagePart)]
            assert assistant.parts == (see(image),)


def test_likelihood_gives_predictions_too(run):
    (record,) = run({"how": "likelihood"}, metrics=["choice-accuracy", "top1"])
    assert record.metrics["choice-accuracy"] == 1
    assert record.metrics["top1.ranking"] == 1
    assert not record.failures


def test_answers_do_not_depend_on_how_many_are_asked_at_once(run):
    (one,) = run({"at_once": 1})
    (all_,) = run({"at_once": 1000}, store="another")
    assert one.id == all_.id
    assert one.metrics == all_.metrics


def test_labels_become_questions_with_class_names(run):
    (record,) = run({"how": "likelihood", "question": "What number?"}, datasets=["digits"], limit=20,
                    models=[{"plugin": "tiny-mllm", "steps": 0}])  # fmt: skip
    assert record.count == 20
    assert record.notes["example"].endswith("What number?")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": ["Look!"]}, "has no {question}"),
        ({"prompts": ["{question} {answer}"]}, "has '{answer}'; known"),
        ({"prompts": ["{question"]}, "is no template"),
        ({"prompts": ["{question}", "{question}"]}, "is there twice"),
        ({"show": "letters"}, "has no {choices}"),
        ({"prompts": ["{question} {choices}"]}, "leaves them out"),
        ({"circular": True}, "circular needs choices that are shown"),
        ({"selection": "similar"}, "needs an embedder"),
        ({"max_tokens": 0}, "must be at least 1"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(OptionError, match=message.replace("{", r"\{").replace("}", r"\}")):
        AnsweringOptions(**options)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"probe": ["no images"]}, "there is no probe 'no images'"),
        ({"probe": ["shot labels flipped"]}, "changes shots, and there are none"),
        ({"shots": [-1]}, "shots must be a whole number"),
    ],
)
def test_wrong_axes_are_skipped_with_a_reason(run, axes, message):
    (record,) = run({}, axes=axes)
    assert record.status == "skipped"
    assert message in record.reason


def test_orders_turn_all_choices_through_all_places():
    item = Item("a", "a", (), "Which?", Answers((), COLOURS, 1))
    turned = [order_choices(item, order) for order in range(4)]
    assert {t.target.choices[0] for t in turned} == set(COLOURS)
    assert all(t.target.choices[t.target.right] == "green" for t in turned)
    options = AnsweringOptions(show="letters", prompts=["{question} {choices}"])
    question = build_question(options, turned[1], 0, 1)
    assert question.turns[-1].parts[0] == "Which? A. green\nB. blue\nC. grey\nD. red"


def test_permuted_choices_move_the_right_one_and_nothing_else(run):
    shown = {"show": "letters", "prompts": ["{question}\n{choices}"]}
    (looker,) = run(shown, axes={"probe": ["choices permuted"]})
    assert looker.metrics["choice-accuracy"] == 1
    texts = {q.id: q.turns[-1].parts[-1] for q in Looker.asked}
    assert len(set(texts.values())) > 5
    assert all(sorted(text.split()) == sorted(next(iter(texts.values())).split()) for text in texts.values())
    (first,) = run(shown, "first-letter", axes={"probe": ["choices permuted"]})
    letters = [text.split("A. ")[1].split()[0] for text in texts.values()]
    expected = np.mean([letter == COLOURS[n % 4] for n, letter in enumerate(letters)])
    assert first.metrics["choice-accuracy"] == pytest.approx(expected)
    (skipped,) = run({}, axes={"probe": ["choices permuted"]})
    assert "none are: set show" in skipped.reason


class Uniform:
    """Gives every token the probability 1/V, V = 7; a token is a letter."""

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        return [[ContinuationScore(-np.log(7) * len(t), len(t), False) for t in own] for own in continuations]


def test_normalised_likelihoods_of_a_uniform_model():
    question = build_question(
        AnsweringOptions(), Item("a", "a", (ImagePart(paint(1)),), "Which?", Answers(("x",))), 0, 0
    )
    texts = [["a", "abc"]]
    (summed,) = score_choices(Uniform(), [question], texts, "sum")
    assert summed == pytest.approx([-np.log(7), -3 * np.log(7)])
    for way in ("token", "byte"):
        (mean,) = score_choices(Uniform(), [question], texts, way)
        assert mean[0] == pytest.approx(mean[1])
    (blank,) = score_choices(Uniform(), [question], texts, "blank")
    assert blank == pytest.approx([0.0, 0.0])


class Scripted:
    """Gives the continuations of every question the same scores; under grey images those of `grey`."""

    def __init__(self, scores: Sequence[float], grey: Sequence[float] = ()) -> None:
        self.scores, self.grey = scores, grey

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        blank = [
            any(np.asarray(i.decoded())[0, 0, 0] == BLANK for i in list_images(question))
            for question in questions
        ]
        return [[ContinuationScore(s, 1, False) for s in (self.grey if b else self.scores)] for b in blank]


def ask_plate() -> Question:
    item = Item("a", "a", (ImagePart(paint(1)),), "Which?", Answers((), COLOURS[:2], 0))
    return build_question(AnsweringOptions(), item, 0, 0)


def test_a_likelihood_unknown_with_and_without_the_image_is_never_the_highest():
    hidden = Scripted([-np.inf, -2.0], [-np.inf, -1.0])
    (scores,) = score_choices(hidden, [ask_plate()], [["red", "green"]], "blank")
    assert scores.tolist() == [-np.inf, -1.0]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Scripted([-1.0, -2.0], [-1.0, -np.inf]), "'green' under a blank image is not known"),
        (Scripted([-1.0, np.nan]), "'a#0#0': a likelihood is not a number"),
        (Scripted([-1.0]), "scored 1 of 2 continuations"),
    ],
)
def test_scores_that_decide_nothing_are_refused(model, message):
    with pytest.raises(DataError, match=message):
        score_choices(model, [ask_plate()], [["red", "green"]], "blank" if model.grey else "sum")


def test_equally_likely_choices_are_none_of_them():
    assert pick_likeliest([-1.0, -1.0, -2.0], ["red", "green", "blue"]) is None
    assert pick_likeliest([-1.0, -1.0, -2.0], ["red", "red", "blue"]) == 0
    assert pick_likeliest([-2.0, -1.0, -1.5], ["red", "green", "blue"]) == 1


class LetterPlates(Plates):
    """Questions whose choices are letters, in another order than their labels."""

    def load(self, split: str) -> Any:
        loaded = PlateSplit(split)
        loaded.targets = [Answers((), ("B", "A", "D", "C"), n % 4) for n in range(24)]
        loaded.groups = [n // 12 for n in range(24)]
        return loaded


class LikelySecond(Looker):
    """Finds the second continuation likeliest, and all of them equally likely without an image."""

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]:
        return [
            [ContinuationScore(float(n == 1 and bool(list_images(q))), 1, False) for n in range(len(own))]
            for q, own in zip(questions, continuations, strict=True)
        ]


def test_by_likelihood_the_choice_is_known_whatever_it_says(run, tmp_path):
    letters = {"how": "likelihood", "show": "letters", "prompts": ["{question} {choices}"]}
    with (
        registry.register_temporarily("models", "second", LikelySecond),
        registry.register_temporarily("datasets", "letter-plates", LetterPlates),
    ):
        found = run(letters, "second", {"probe": ["none", "no image"]}, datasets=["letter-plates"],
                    metrics=["choice-accuracy", "top1", "answer-rates"])  # fmt: skip
    records = {r.coordinates["probe"]: r for r in found}
    assert records["none"].metrics["choice-accuracy"] == records["none"].metrics["top1.ranking"] == 0.25
    assert records["none"].metrics["answer-rates.unparsed"] == 0
    assert records["no image"].metrics["choice-accuracy"] == 0
    assert records["no image"].metrics["answer-rates.unparsed"] == 1
    samples = harness.Store(tmp_path / "store").samples(records["none"].id)
    assert set(samples["extracted"]) == {"A"}
    assert samples["cluster"].nunique() == 2  # an image may be called 0


class Forgetful(Looker):
    """Leaves out its last answer."""

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        return super().generate(questions)[:-1]


def test_answers_that_are_fewer_than_the_questions_are_refused(run):
    with registry.register_temporarily("models", "forgetful", Forgetful):
        (record,) = run({}, "forgetful")
    assert record.status == "failed"
    assert "gave 23 answers to 24 questions" in record.reason


class Unlucky(Looker):
    """Gets no answer to every fourth question, and half an emoji to the next."""

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        found = super().generate(questions)
        found[::4] = [ModelAnswer("", "failed", reason="time-out") for _ in found[::4]]
        found[1::4] = [ModelAnswer(answer.text + "\ud83d") for answer in found[1::4]]
        return found


def test_answers_that_failed_are_told_and_odd_texts_are_kept(run, tmp_path):
    with registry.register_temporarily("models", "unlucky", Unlucky):
        (record,) = run({}, "unlucky")
    assert record.metrics["choice-accuracy"] == 0.75
    assert "6 of 24 answers failed, and count as wrong; --fresh asks again (one: time-out)" in record.remarks
    samples = harness.Store(tmp_path / "store").samples(record.id)
    assert samples["answer"][1] == "It is green.\ufffd"


def test_a_probe_that_changes_nothing_is_told(run):
    probes = {"probe": ["shot labels flipped", "images reversed", "no image"], "shots": [1]}
    remarks = {r.coordinates["probe"]: " ".join(r.remarks) for r in run({}, axes=probes)}
    assert "'shot labels flipped' leaves 24 of 24 questions as they were" in remarks["shot labels flipped"]
    assert "'images reversed' leaves 24 of 24 questions as they were" in remarks["images reversed"]
    assert "leaves" not in remarks["no image"]


class TwinPlates(Plates):
    """Questions whose right choice is there twice."""

    def load(self, split: str) -> Any:
        loaded = PlateSplit(split)
        loaded.targets = [Answers((), ("red", "green", "blue", "grey", COLOURS[n % 4]), 4) for n in range(24)]
        return loaded


def test_choices_of_equal_texts_are_told_and_count_as_one(run):
    with registry.register_temporarily("datasets", "twins", TwinPlates):
        (record,) = run({}, datasets=["twins"])
        (likely,) = run({"how": "likelihood"}, datasets=["twins"], metrics=["choice-accuracy", "top1"])
    assert record.metrics["choice-accuracy"] == 1
    assert likely.metrics == {"choice-accuracy": 1}
    assert "24 of 24 questions have choices of equal texts, which count as one" in record.remarks


def test_blank_likelihoods_without_images_are_not_compared(run):
    found = run({"how": "likelihood", "normalise": "blank"}, axes={"probe": ["none", "no image"]})
    assert {r.coordinates["probe"]: r.status for r in found} == {"none": "ok", "no image": "skipped"}
    (blind,) = run({"how": "likelihood", "normalise": "blank"}, models=[{"plugin": "tiny-blind", "steps": 0}])
    assert "is 0 for every choice without images, and this model has none" in blind.reason


class UnevenPlates(Plates):
    """Images with one or several questions, of which the first answer alone is A."""

    def load(self, split: str) -> Any:
        loaded = PlateSplit(split)
        loaded.groups = [*"aabbbcddeffggggg", *"hijklmno"]
        loaded.targets = [Answers((), COLOURS, int(n > 1)) for n in range(24)]
        return loaded


def test_intervals_of_clusters_stay_within_the_bounds_of_the_metric(run, tmp_path):
    letters = {"show": "letters", "prompts": ["{question} {choices}"]}
    with registry.register_temporarily("datasets", "uneven", UnevenPlates):
        run(letters, "first-letter", datasets=["uneven"], metrics=["choice-accuracy"])
        (table,) = harness.table("toy", store=tmp_path / "store")
    (value,) = [entry for row in table.rows for entry in row.entries]
    assert value.value == pytest.approx(2 / 24)
    assert value.low == 0
    assert 0.1 < value.high < 0.5


@pytest.mark.parametrize("how", ["generate", "likelihood"])
def test_more_choices_than_letters_are_refused(run, how):
    class ManyPlates(Plates):
        def load(self, split: str) -> Any:
            loaded = PlateSplit(split)
            many = tuple(f"colour {n}" for n in range(27))
            loaded.targets = [Answers((), many, 26)] * 24
            loaded.turns = [(Turn("user", (ImagePart(paint(1)), "Which?")),)] * 24
            return loaded

    options = {"how": how, "show": "letters", "prompts": ["{question} {choices}"], "restrict": True}
    with registry.register_temporarily("datasets", "many", ManyPlates):
        (record,) = run(options, datasets=["many"])
    assert "27 choices, more than there are letters: set show = 'list'" in record.reason


@pytest.mark.parametrize(
    "options",
    [
        {"prompts": ["{question}", "Say: {question}"]},
        {"circular": True, "show": "letters", "prompts": ["{question} {choices}"]},
    ],
)
def test_whole_conversations_are_not_worded_in_several_ways(run, options):
    scenes = {"plugin": "scene-questions", "count": 4, "kinds": ["colour"]}
    tiny = [{"plugin": "tiny-mllm", "steps": 0}]
    (record,) = run(options, models=tiny, datasets=[scenes])
    letters = {"show": "letters", "prompts": ["{question} {choices}"]}
    (permuted,) = run(letters, models=tiny, datasets=[scenes], axes={"probe": ["choices permuted"]})
    assert "whose words stay as they are" in permuted.reason
    assert "whose words stay as they are: ask them by one prompt, neither circular nor" in record.reason
    (asked,) = run({"prompts": ["Say: {question}"]}, models=tiny, datasets=[scenes])
    assert "scene-questions: the prompt is not used: its samples are whole conversations" in asked.remarks
