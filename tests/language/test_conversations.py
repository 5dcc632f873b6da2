"""Conversations: images are known by their pixels, order is meaning, and a failure holds no text."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import harness
from harness import DataError, EncodedImage
from harness_language.contracts import AnswersConversations, ScoresContinuations
from harness_language.conversations import (
    ROLES,
    ImagePart,
    ModelAnswer,
    Question,
    Turn,
    count_images,
    drop_images,
    list_images,
    render_question,
    require_image_count,
)

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def encoded(pixels: np.ndarray, kind: str, **options: Any) -> EncodedImage:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return EncodedImage(stream.getvalue(), f"x.{kind.lower()}")


def test_an_image_is_known_by_its_decoded_pixels():
    part = ImagePart(PIXELS)
    same = [Image.fromarray(PIXELS), encoded(PIXELS, "PNG"), encoded(PIXELS, "BMP"), PIXELS.copy()]
    assert {ImagePart(image).digest for image in same} == {part.digest}
    assert all(ImagePart(image) == part for image in same)
    changed = PIXELS.copy()
    changed[3, 3, 2] ^= 1
    others = [changed, PIXELS.transpose(1, 0, 2), PIXELS.reshape(2, 8, 3)]  # a bit, turned, the same bytes
    assert part.digest not in {ImagePart(np.ascontiguousarray(image)).digest for image in others}
    grey = np.full((2, 2), 7, np.uint8)
    assert ImagePart(grey) == ImagePart(np.stack([grey] * 3, axis=2))


def test_an_image_that_cannot_be_read_is_named():
    with pytest.raises(DataError, match=r"broken\.png"):
        render_question(Question("1", (Turn("user", (ImagePart(EncodedImage(b"no", "broken.png")),)),)))


IMAGES = [ImagePart(PIXELS), ImagePart(255 - PIXELS)]
TEXTS = st.lists(
    st.sampled_from(["<", "\\", "text>", "image ", "user>", "system>", "assistant>", "\n", "a", IMAGES[0].digest, ">"])
).map("".join)  # fmt: skip
TURNS = st.lists(
    st.builds(Turn, st.sampled_from(ROLES), st.lists(TEXTS | st.sampled_from(IMAGES), max_size=4).map(tuple)),
    max_size=3,
).map(tuple)


@given(TURNS, TURNS)
def test_different_turns_are_rendered_differently(one, other):
    first, second = (render_question(Question("x", turns)) for turns in (one, other))
    assert (first == second) == (one == other)


def test_neighbouring_texts_empty_texts_and_markers_are_told_apart():
    image = IMAGES[0]
    all_parts: list[tuple[Any, ...]] = [
        ("ab",), ("a", "b"), ("a", "", "b"), ("", "ab"), ("ab", ""), (image,), ("", image), (image, ""),
        (f"<image {image.digest}>",), (f"<\\image {image.digest}>",), ("a<text>b",), ("a\n<user>b",), (),
    ]  # fmt: skip
    rendered = [render_question(Question("x", (Turn("user", parts),))) for parts in all_parts]
    rendered.append(render_question(Question("x", (Turn("user", ("a",)), Turn("user", ("b",))))))
    assert len(set(rendered)) == len(rendered)


def test_images_are_listed_counted_and_dropped():
    question = Question("x", (Turn("user", (IMAGES[1], "a", IMAGES[0])), Turn("user", ("b", IMAGES[1]))))
    assert list_images(question) == [IMAGES[1], IMAGES[0], IMAGES[1]]
    assert count_images(question) == 3
    blind = drop_images(question)
    assert (count_images(blind), [turn.parts for turn in blind.turns]) == (0, [("a",), ("b",)])
    require_image_count([blind, question], 3, "m")
    require_image_count([question], None, "m")
    with pytest.raises(DataError, match="question 'x' shows 3 images, and m takes at most 2"):
        require_image_count([blind, question], 2, "m")


@pytest.mark.parametrize("status", ["refused", "failed"])
def test_a_failure_holds_no_text(status):
    with pytest.raises(DataError, match="put it into `reason`"):
        ModelAnswer("sorry, A", status)
    assert ModelAnswer("", status, reason="sorry, A").reason == "sorry, A"


def test_mistakes_are_named():
    turn = Turn("user", ("a",))
    for make, why in (
        (lambda: Turn("human", ("a",)), "role is 'human'"),  # type: ignore[arg-type]
        (lambda: Turn("user", "hello"), "not a single one"),  # type: ignore[arg-type]
        (lambda: Turn("user", (PIXELS,)), "a ndarray, not a text or an ImagePart"),  # type: ignore[arg-type]
        (lambda: Question("7", turn), "question '7': `turns` is a tuple"),  # type: ignore[arg-type]
        (lambda: Question("7", (turn,), stop="\n"), "question '7': `stop` is a tuple"),  # type: ignore[arg-type]
        (lambda: Question("7", (turn,), max_tokens=0), "question '7': max_tokens is 0"),
        (lambda: Question("7", (turn,), stop=("a", "")), "question '7': an empty stop"),
        (lambda: Question("7", (turn,), choices=()), "question '7': no choices"),
        (lambda: ModelAnswer("a", "done"), "status is 'done'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(DataError, match=why):
            make()
    assert Question("7", [Turn("user", ["a"])]) == Question("7", (turn,))  # type: ignore[arg-type]


def test_capabilities_are_registered():
    class Speaker:
        def generate(self, questions):
            return [ModelAnswer("a") for _ in questions]

    assert harness.has(Speaker(), AnswersConversations)
    assert not harness.has(Speaker(), ScoresContinuations)
    assert harness.capabilities(Speaker()) == ["answers conversations"]
