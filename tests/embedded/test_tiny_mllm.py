"""`tiny-mllm` in closed checks: masks, caches and shared beginnings change no logit; images are seen, or not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness import DataError, OptionError
from harness.contract.capability import capabilities
from harness_embedded import speaking_prompts
from harness_embedded.scene_episodes import SceneEpisodes
from harness_embedded.speaking_network import CONTEXT
from harness_embedded.speaking_prompts import SharedBatch, batch_prompts
from harness_embedded.speaking_words import WORDS, decode_words, encode_words, split_words
from harness_embedded.tiny_mllm import MOST_IMAGES, TinyBlind, TinyMLLM
from harness_language.contracts import AnswersConversations, ScoresContinuations
from harness_language.conversation_checks import draw_questions
from harness_language.conversations import ImagePart, Question, Turn
from harness_language.testing import ConversationConformance

CPU = torch.device("cpu")
CARRIES = ("next", "none", "all")


@pytest.fixture(scope="module", params=CARRIES)
def random_model(request: pytest.FixtureRequest) -> TinyMLLM:
    """Random weights: no logit is the same by chance."""
    model = TinyMLLM(steps=0, carry=request.param)
    model.load(CPU)
    return model


def draw_shots(count: int, shots: int = 8) -> list[Question]:
    """Questions with the same shots, and queries of several lengths."""
    rng = np.random.default_rng(3)
    images = [ImagePart(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(shots + count)]
    turns: list[Turn] = []
    for image in images[:shots]:
        turns += [Turn("user", (image, "What colour is it?")), Turn("assistant", ("red",))]
    texts = ("What shape is it?", "Is there a star?", "What is it?")
    return [
        Question(f"q{n}", (*turns, Turn("user", (image, texts[n % 3]))), max_tokens=4)
        for n, image in enumerate(images[shots:])
    ]


def compute_logits(model: TinyMLLM, questions: list[Question], together: bool) -> torch.Tensor:
    """The logits after each question: in the model's own batches, or one by one without a cache."""
    with torch.inference_mode():
        prompts, reader = model._read(questions)
        batches = batch_prompts(prompts) if together else [SharedBatch([n], 0) for n in range(len(prompts))]
        found = torch.empty(len(prompts), len(WORDS))
        for batch in batches:
            found[batch.rows] = reader.read_batch(prompts, batch)[0]
    return found


@pytest.mark.parametrize("questions", [draw_questions(), draw_shots(8)], ids=["mixed", "shots"])
def test_batches_change_no_logit(random_model: TinyMLLM, questions: list[Question]) -> None:
    alone = compute_logits(random_model, questions, together=False)
    assert alone.std() > 0.1
    assert torch.allclose(compute_logits(random_model, questions, together=True), alone, atol=1e-4)


def test_the_first_token_is_the_likeliest(random_model: TinyMLLM) -> None:
    questions = [replace(q, max_tokens=1) for q in draw_questions() + draw_shots(5)]
    likeliest = compute_logits(random_model, questions, together=False).argmax(1).tolist()
    texts = [answer.text for answer in random_model.generate(questions)]
    assert texts == ["" if WORDS[n] == "." else decode_words([n]) for n in likeliest]


def score_in_full(model: TinyMLLM, question: Question, continuation: str) -> float:
    """The sum of log-probabilities from growing prompts, each read from its beginning."""
    total = 0.0
    words = split_words(continuation)
    for n, word in enumerate(words):
        turn = question.turns[-1]
        parts = (*turn.parts, *words[:n])  # a user's turn has no mark, so that this is the same sequence
        grown = replace(question, turns=(*question.turns[:-1], replace(turn, parts=parts)))
        logits = compute_logits(model, [grown], together=False)[0]
        total += float(logits.log_softmax(0)[encode_words(word)[0]])
    return total


def test_cached_likelihoods_are_the_full_ones_in_any_order(random_model: TinyMLLM) -> None:
    questions = draw_shots(2, shots=3) + draw_questions()[1:2]
    questions.append(
        Question("ends with its image", (Turn("user", ("What?", questions[0].turns[0].parts[0])),))
    )
    texts = ["red", "a blue star", "yes it is red"]
    found = random_model.loglikelihood(questions, [texts] * len(questions))
    turned = random_model.loglikelihood(questions[::-1], [texts[::-1]] * len(questions))[::-1]
    for question, scores, other in zip(questions, found, turned, strict=True):
        assert [s.tokens for s in scores] == [1, 3, 4]
        for text, score, again in zip(texts, scores, other[::-1], strict=True):
            full = score_in_full(random_model, question, text)
            assert score.total == pytest.approx(full, abs=1e-4)
            assert again.total == pytest.approx(full, abs=1e-4)


def test_scores_say_whether_generation_would_say_it(random_model: TinyMLLM) -> None:
    questions = [replace(q, max_tokens=3) for q in draw_shots(4)]
    said = [answer.text for answer in random_model.generate(questions)]
    scores = random_model.loglikelihood(questions, [[text, "zib zib"] for text in said])
    assert [tuple(s.greedy for s in pair) for pair in scores] == [(True, False)] * 4


def test_log_probabilities_of_all_words_sum_to_one(random_model: TinyMLLM) -> None:
    known = list(WORDS[3:])
    (scores,) = random_model.loglikelihood(draw_shots(1), [known])
    shown = compute_logits(random_model, draw_shots(1), together=False)[0].softmax(0)[:3].sum()
    assert sum(math.exp(s.total) for s in scores) + float(shown) == pytest.approx(1, abs=1e-5)


def test_a_choice_is_given_as_it_is_written(random_model: TinyMLLM) -> None:
    choices = ("A red star", "a red heart", "Blue", "a")
    questions = [replace(q, choices=choices, max_tokens=5) for q in draw_shots(6)]
    answers = random_model.generate(questions)
    assert all(answer.text in choices and answer.status == "ok" for answer in answers)
    only = random_model.generate([replace(q, choices=("dax wug",)) for q in questions])
    assert {(a.text, a.tokens_out) for a in only} == {("dax wug", 2)}


def test_equal_beginnings_are_found(random_model: TinyMLLM) -> None:
    same, others = draw_shots(7), draw_questions()
    prompts, reader = random_model._read(same + others)
    batches = batch_prompts(prompts)
    assert sorted(n for batch in batches for n in batch.rows) == list(range(len(prompts)))
    (shared,) = [batch for batch in batches if batch.shared]
    assert sorted(shared.rows) == list(range(7))
    assert shared.shared == 64  # eight shots of eight tokens
    assert len(reader._features) == 8 + 7 + 4 + 1  # equal images once, and the one that is none


def test_many_prompts_make_batches_of_limited_size(
    random_model: TinyMLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking_prompts, "MOST_AT_ONCE", 3)
    prompts, _ = random_model._read(draw_shots(7) + draw_questions())
    batches = batch_prompts(prompts)
    assert max(len(batch.rows) for batch in batches) == 3
    assert sorted(n for batch in batches for n in batch.rows) == list(range(len(prompts)))


def test_a_conversation_that_is_too_long_fails_by_its_name(random_model: TinyMLLM) -> None:
    long = Question("the long one", (Turn("user", ("red " * CONTEXT,)),))
    short = Question("the short one", (Turn("user", ("What is it?",)),), max_tokens=2)
    failed, answered = random_model.generate([long, short])
    assert (failed.status, failed.text) == ("failed", "")
    assert str(CONTEXT) in failed.reason
    assert answered.status in ("ok", "truncated")
    with pytest.raises(DataError, match="the long one"):
        random_model.loglikelihood([long], [["red"]])
    with pytest.raises(DataError, match="no word"):
        random_model.loglikelihood([short], [["!"]])


def test_words_that_it_does_not_know_are_told() -> None:
    model = TinyMLLM(steps=0)
    model.load(CPU)
    known = Question("known", (Turn("user", ("What color is it? red, or BLUE.",)),), max_tokens=1)
    model.generate([known])
    assert model.remarks == []
    model.generate(
        [Question("unknown", (Turn("user", ("Which zebra? A zebra, or an Okapi?",)),), max_tokens=1)]
    )
    (remark,) = model.remarks
    assert "3 of those it read" in remark
    assert "'zebra', 'okapi'" in remark


def test_capabilities_and_options() -> None:
    for model in (TinyMLLM(steps=0), TinyBlind(steps=0)):
        assert isinstance(model, AnswersConversations)
        assert isinstance(model, ScoresContinuations)
    assert "encodes images" in capabilities(TinyMLLM())
    assert "encodes images" not in capabilities(TinyBlind())
    assert TinyBlind(seed=2).packaged_file == TinyMLLM(seed=2).packaged_file
    files = {TinyMLLM(seed, carry=carry).packaged_file for seed in range(3) for carry in CARRIES}
    assert len(files) == 9
    with pytest.raises(OptionError, match="steps"):
        TinyMLLM(steps=-1)


def test_too_many_images_are_refused_by_the_question() -> None:
    model = TinyMLLM(steps=0)
    model.load(CPU)
    picture = ImagePart(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="crowded"):
        model.generate([Question("crowded", (Turn("user", (picture,) * (MOST_IMAGES + 1)),))])


def test_words_end_where_they_should() -> None:
    assert split_words("It's a heart-shaped thing; isn't it?\n\nB.") == [
        "it's", "a", "heart-shaped", "thing", "isn't", "it", "?", ".", "B", ".",
    ]  # fmt: skip
    text = "is there a red star? yes."
    assert decode_words(encode_words(text)) == text


class TestNext(ConversationConformance):
    @pytest.fixture
    def model(self) -> TinyMLLM:
        return TinyMLLM(steps=0)


class TestBlind(ConversationConformance):
    @pytest.fixture
    def model(self) -> TinyBlind:
        return TinyBlind(steps=0)


def test_episodes_fit_the_context() -> None:
    model = TinyMLLM(steps=0)
    model.load(CPU)
    split = SceneEpisodes(ways=4, shots=8, count=1).load("test")
    answers = model.generate(
        [Question(i, t, max_tokens=1) for i, t in zip(split.ids, split.turns, strict=True)]
    )
    assert all(answer.status in ("ok", "truncated") for answer in answers)
    assert model.remarks == []
