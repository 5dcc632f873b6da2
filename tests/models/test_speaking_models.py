"""Models of transformers that speak: the same numbers as a naive forward pass, in any batch, and clear words if not."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness import DataError
from harness.inference.batches import OutOfMemory
from harness.testing import Violation
from harness_language import conversation_checks as checks
from harness_language.conversation_checks import draw_questions
from harness_language.conversations import ImagePart, Question, Turn, drop_images, list_images
from harness_language.testing import ConversationConformance
from harness_transformers.chat_model import HfChat
from harness_transformers.image_text_model import HfImageText, fit_pixels
from harness_transformers.question_batches import Prompt, run_in_batches

CPU = torch.device("cpu")
SEEING = ("llava", "qwen2-vl", "idefics3", "gemma3")
WORDS = ("A", "yes no", "what is this? a blue square", "B", "in one letter")
"""Continuations of one and of several tokens."""


@pytest.fixture(scope="module")
def loaded(speaker) -> Any:
    """A function from a kind of tiny model to it, loaded once; tests leave it as it is."""
    made: dict[str, Any] = {}

    def get(kind: str) -> Any:
        if kind not in made:
            made[kind] = (HfChat if kind == "text" else HfImageText)(str(speaker(kind)))
            made[kind].load(CPU)
        return made[kind]

    return get


class TestImageTextInTheKit(ConversationConformance):
    @pytest.fixture
    def model(self, speaker):
        return HfImageText(str(speaker("llava")), max_images=3)


class TestChatInTheKit(ConversationConformance):
    @pytest.fixture
    def model(self, speaker):
        return HfChat(str(speaker("text")))


def ask(*parts: Any, name: str = "q", **limits: Any) -> Question:
    return Question(name, (Turn("user", parts),), **limits)


def picture(seed: int = 0, size: tuple[int, int] = (32, 32)) -> ImagePart:
    return ImagePart(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def score_naively(model: Any, question: Question, continuation: str = "") -> tuple[float, torch.Tensor]:
    """The log-probability of a continuation and the last logits, in one pass over prompt and continuation."""
    prompt = model._prompts.render(question)
    if model.sees_images:
        images = [[part.decoded() for part in list_images(question)]]
        inputs = model._processor(
            text=[prompt + continuation], images=images if any(images) else None, return_tensors="pt"
        )
    else:
        inputs = model._tokenizer(prompt + continuation, return_tensors="pt")
        inputs.pop("token_type_ids", None)
    count = len(model._tokenizer(continuation)["input_ids"])
    with torch.inference_mode():
        for module in model.module.modules():
            if hasattr(module, "rope_deltas"):
                module.rope_deltas = None
        logits = model.module(**inputs).logits[0].float()
    chances = logits.log_softmax(-1)[-count - 1 : -1] if count else logits[:0]
    total = chances.gather(1, inputs["input_ids"][0, -count:, None]).sum() if count else 0.0
    return float(total), logits[-1]


@pytest.mark.parametrize("kind", [*SEEING, "text"])
def test_cached_likelihoods_are_those_of_a_full_pass_in_any_order(loaded, kind, monkeypatch):
    model = loaded(kind)
    monkeypatch.setattr(
        model, "batch_size", 2
    )  # of three longer ones, so that two padded ones precede another
    questions = draw_questions()[:4] + draw_questions()[:1]  # a text after images, too
    asked = questions if model.sees_images else [drop_images(q) for q in questions]
    found = model.loglikelihood(questions, [WORDS] * len(questions))
    back = model.loglikelihood(questions[::-1], [WORDS[::-1]] * len(questions))[::-1]
    for question, scores, turned in zip(asked, found, back, strict=True):
        for word, score, other in zip(WORDS, scores, turned[::-1], strict=True):
            assert score.total == pytest.approx(score_naively(model, question, word)[0], abs=1e-4)
            assert other.total == pytest.approx(score.total, abs=1e-4)
            assert score.tokens == other.tokens == len(model._tokenizer(word)["input_ids"])


@pytest.mark.parametrize("kind", [*SEEING, "text"])
def test_padded_among_others_a_question_has_the_chances_it_has_alone(loaded, kind):
    model = loaded(kind)
    short = ask(picture(1), "what?", name="short")
    long = ask(picture(2), "what is this? " * 9, name="long")
    middle = ask(picture(3, (48, 32)), "a red circle, or a blue square?", name="middle")
    together = model.loglikelihood([short, long, middle], [("A", "B")] * 3)
    for question, scores in zip((short, long, middle), together, strict=True):
        (alone,) = model.loglikelihood([question], [("A", "B")])
        assert [s.total for s in scores] == pytest.approx([s.total for s in alone], abs=1e-5)


@pytest.mark.parametrize("kind", [*SEEING, "text"])
def test_the_first_token_of_a_greedy_answer_is_the_likeliest(loaded, kind):
    model = loaded(kind)
    for question in draw_questions():
        asked = question if model.sees_images else drop_images(question)
        (answer,) = model.generate([replace(question, max_tokens=1)])
        _, logits = score_naively(model, asked)
        likeliest = int(logits.argmax())
        assert answer.text == model._tokenizer.decode([likeliest], skip_special_tokens=True)
        assert answer.status == ("ok" if likeliest == model._tokenizer.eos_token_id else "truncated")
        assert answer.tokens_out == 1


@pytest.mark.parametrize("kind", SEEING)
def test_pixels_and_the_order_of_parts_count(loaded, kind):
    model, one, two = loaded(kind), picture(1), picture(2)
    pixels = np.array(one.image)
    pixels[16, 16] = 255 - pixels[16, 16]

    def score(*parts: Any) -> float:
        return model.loglikelihood([ask(*parts)], [["A"]])[0][0].total

    plain = score(one, "A or B?")
    assert score(one, "A or B?") == plain
    assert score(ImagePart(pixels), "A or B?") != plain
    assert abs(score("A or B?", one) - plain) > 1e-4
    assert abs(score(one, two, "which?") - score(two, one, "which?")) > 1e-4
    checks.check_answers_in_order(model, draw_questions())
    checks.check_batch_equals_single(model, draw_questions())
    checks.check_continuation_scores(model, draw_questions())


def test_gemmas_random_projection_is_blind_and_the_kit_says_so(speaker):
    model = HfImageText(str(speaker("gemma3", shaken=False)))
    model.load(CPU)
    with pytest.raises(Violation, match="the same with other images"):
        checks.check_sees_images(model, draw_questions())


def test_uniform_logits_give_each_token_one_in_the_vocabulary(speaker):
    model = HfImageText(str(speaker("llava")))
    model.load(CPU)
    with torch.no_grad():
        model.module.lm_head.weight.zero_()
    vocabulary = model.module.lm_head.weight.shape[0]
    ((one, several),) = model.loglikelihood([ask(picture(), "?")], [("A", "AAA")])
    assert (one.tokens, several.tokens) == (1, 3)
    assert one.total == pytest.approx(-math.log(vocabulary), abs=1e-4)
    assert several.total == pytest.approx(-3 * math.log(vocabulary), abs=1e-4)


def test_an_answer_ends_at_an_end_token_a_stop_text_or_its_limit(speaker):
    model = HfChat(str(speaker("text")))
    model.load(CPU)
    questions = [ask("A or B?", name=str(n), max_tokens=n) for n in (2, 9, 5)]
    free = model.generate(questions)
    assert [(a.status, a.tokens_out) for a in free] == [("truncated", n) for n in (2, 9, 5)]
    assert free[1].text.startswith(free[0].text)
    stop = free[1].text[3:5]
    cut, other = model.generate([replace(questions[1], stop=("never", stop)), questions[2]])
    assert (cut.text, cut.status) == (free[1].text[: free[1].text.index(stop)], "ok")
    assert cut.tokens_out < 9
    assert other == free[2]
    prompt = model._prompts.render(questions[1])
    ids = model._tokenizer(prompt, return_tensors="pt")["input_ids"]
    tokens = model.module.generate(ids, max_new_tokens=9)[0, ids.shape[1] :].tolist()
    place = next(n for n in range(1, 9) if tokens[n] not in tokens[:n])
    model.module.generation_config.eos_token_id = [tokens[place], 0]
    (ended,) = model.generate([questions[1]])
    assert (ended.status, ended.tokens_out) == ("ok", place + 1)
    assert ended.text == model._tokenizer.decode(tokens[:place], skip_special_tokens=True)


def test_a_settled_repetition_penalty_is_told_and_has_no_effect(speaker, tmp_path):
    folder = shutil.copytree(speaker("text"), tmp_path / "penal")
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {"repetition_penalty": 5.0, "do_sample": True, "temperature": 0.01}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    plain, penal = HfChat(str(speaker("text"))), HfChat(str(folder))
    for model in (plain, penal):
        model.load(CPU)
    assert penal.generate(draw_questions()) == plain.generate(draw_questions())
    assert any("repetition_penalty=5.0" in remark for remark in penal.remarks)
    assert not any("generation_config" in remark for remark in plain.remarks)


def test_draws_are_a_questions_own_and_follow_the_chances(speaker):
    model = HfChat(str(speaker("text")), temperature=0.5, batch_size=64)
    model.load(CPU)
    questions = [ask("A or B?", name=str(n), max_tokens=1) for n in range(600)]
    drawn = model.generate(questions)
    assert model.generate(questions[7:9]) == drawn[7:9]
    chances = (score_naively(model, questions[0])[1] / 0.5).softmax(-1)
    top = int(chances.argmax())
    share = sum(a.text == model._tokenizer.decode([top]) for a in drawn) / 600
    p = float(chances[top])
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / 600)
    model.seed = 1
    assert model.generate(questions[:60]) != drawn[:60]


def test_a_restricted_answer_is_one_of_its_choices(speaker, loaded):
    model, free = HfImageText(str(speaker("llava")), restriction="choices"), loaded("llava")
    model.load(CPU)
    choices = ("a red circle", "a red square", "a red", "yes")
    asked = [ask(picture(n), "what?", name=str(n), max_tokens=20, choices=choices) for n in range(6)]
    open_one = ask(picture(9), "what?", name="open", max_tokens=20)
    *answers, other = model.generate([*asked, open_one])
    assert {a.text for a in answers} <= set(choices)
    assert {a.status for a in answers} == {"ok"}
    assert [other] == free.generate([open_one])
    assert not {a.text for a in free.generate(asked)} & set(choices)
    (scores,) = free.loglikelihood(asked[:1], [("A", "B")])
    best = max(zip((s.total for s in scores), "AB", strict=True))[1]
    (letter,) = model.generate([replace(asked[0], choices=("A", "B"), max_tokens=2)])
    assert (letter.text, letter.tokens_out) == (best, 2)


def test_a_question_that_is_too_long_fails_alone(loaded):
    model, plain = loaded("llava"), ask(picture(), "A or B?", name="plain")
    long = ask(picture(), "what is this? " * 300, name="the long one")
    failed, fine = model.generate([long, plain])
    assert (failed.text, failed.status) == ("", "failed")
    assert "512 that the model takes" in failed.reason
    assert [fine] == model.generate([plain])
    with pytest.raises(DataError, match=r"'the long one': its .* tokens"):
        model.loglikelihood([plain, long], [["A"], ["A"]])


def test_batches_are_halved_when_memory_runs_out(speaker):
    model = HfImageText(str(speaker("llava")))
    model.load(CPU)
    questions = draw_questions()
    scores = model.loglikelihood(questions, [WORDS] * len(questions))
    answers, sizes = model.generate(questions), []
    whole, forward = model.module.generate, model.module.forward

    def small(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(**inputs)

    model.module.generate = small
    assert model.generate(questions) == answers
    assert max(sizes) > 1
    model.module.generate = whole

    def narrow(input_ids: Any = None, cache: Any = None, past_key_values: Any = None, **rest: Any) -> Any:
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(input_ids=input_ids, **({} if cache is None else {"cache": cache}), **rest)

    model.batch_size = 3
    model.module.forward = narrow
    again = model.loglikelihood(questions[:1], [WORDS])
    assert [s.total for s in again[0]] == pytest.approx([s.total for s in scores[0]], abs=1e-5)

    def full(**_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model.module.generate = full
    with pytest.raises(OutOfMemory, match=r"question '.*' alone does not fit"):
        model.generate(questions)


def test_batches_hold_similar_prompts_with_equally_many_images():
    prompts = [
        Prompt(ask(*[picture()] * images, name=f"{images} {length}"), "x" * length)
        for images, length in ((0, 5), (2, 9), (0, 90), (2, 30), (1, 1), (0, 7))
    ]
    seen: list[list[str]] = []

    def run(batch: Any) -> list[str]:
        seen.append([prompt.question.id for prompt in batch])
        return seen[-1]

    assert run_in_batches(prompts, 2, run) == [prompt.question.id for prompt in prompts]
    assert seen == [["2 30", "2 9"], ["1 1"], ["0 90", "0 7"], ["0 5"]]


def test_pixel_limits_change_what_the_model_sees(speaker, loaded):
    model = HfImageText(str(speaker("qwen2-vl")), max_pixels=32 * 32)
    model.load(CPU)
    large, small = ask(picture(1, (64, 64)), "?"), ask(picture(1, (32, 32)), "?")
    (limited, fits), (free, same) = (
        model.generate([large, small]),
        loaded("qwen2-vl").generate([large, small]),
    )
    assert limited.tokens_in == fits.tokens_in < free.tokens_in
    assert fits == same


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 5000), st.integers(0, 5000))
def test_fitted_images_keep_within_their_limits(width, height, least, more):
    image, most = Image.new("RGB", (width, height)), least + more
    found = fit_pixels(image, least, most)
    area = width * height
    if least <= area <= most:
        assert found is image
    elif area > most:
        assert found.width * found.height <= max(most, found.width if found.height == 1 else found.height)
        assert min(found.size) == 1 or found.width / found.height == pytest.approx(width / height, rel=1.01)
    else:
        assert found.width * found.height >= least
        assert found.width >= width
        assert found.height >= height
