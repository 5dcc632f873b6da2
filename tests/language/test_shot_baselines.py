"""The baselines that repeat shots: right where copying is, by closed forms, and held to the contract."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import DataError, OptionError
from harness.discovery import registry
from harness_language.conversations import ImagePart, Question, Turn
from harness_language.shot_baselines import UNSAID, CopyLastShot, NearestShot, read_shots
from harness_language.testing import ConversationConformance

RED, BLUE, VIOLET, PINK = (255, 0, 0), (0, 0, 255), (90, 0, 255), (255, 0, 90)


class MeanColour:
    """Encodes an image as its mean colour."""

    def prepare(self, image):
        return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)

    def encode_image(self, images):
        return images.mean((2, 3))


def paint(colour: Sequence[int]) -> ImagePart:
    return ImagePart(np.full((4, 4, 3), colour, np.uint8))


def ask(shots: Sequence[tuple[Sequence[int] | None, str]], colour: Sequence[int] | None, **more) -> Question:
    turns = []
    for shown, answer in shots:
        turns += [Turn("user", (*([paint(shown)] if shown else []), "What?")), Turn("assistant", (answer,))]
    return Question("q", (*turns, Turn("user", (*([paint(colour)] if colour else []), "What?"))), **more)


def nearest(k: int = 1) -> NearestShot:
    model = NearestShot(MeanColour(), k)
    model.load(torch.device("cpu"))
    return model


def say(model, question: Question) -> str:
    return model.generate([question])[0].text


def pictured_questions() -> list[Question]:
    """Questions whose nearest shot is another one if their images are inverted."""
    shots = [((200, 200, 40), "A"), ((40, 40, 0), "B")]
    return [ask(shots, (190, 190, 60)), ask(shots, (250, 250, 250)), ask(shots[:1], RED)]


class TestCopyLastShot(ConversationConformance):
    @pytest.fixture
    def model(self):
        return CopyLastShot()

    @pytest.fixture
    def questions(self, subject):
        return pictured_questions()


class TestNearestShot(ConversationConformance):
    @pytest.fixture
    def model(self):
        return NearestShot(MeanColour(), 1)

    @pytest.fixture
    def questions(self, subject):
        return pictured_questions()


def test_the_nearest_image_decides_and_a_tie_is_the_later_one_s():
    assert say(nearest(), ask([(RED, "dax"), (BLUE, "wug")], PINK)) == "dax"
    assert say(nearest(), ask([(RED, "dax"), (BLUE, "wug")], VIOLET)) == "wug"
    assert say(nearest(), ask([(RED, "dax"), (RED, "wug")], PINK)) == "wug"
    assert say(nearest(), ask([(RED, "dax"), (BLUE, "wug")], None)) == "wug"
    assert say(nearest(), ask([(None, "dax"), (BLUE, "wug"), (None, "fep")], RED)) == "wug"
    assert say(nearest(), ask([(None, "dax"), (None, "wug")], RED)) == "wug"


def test_the_nearest_of_several_images_is_that_of_their_mean():
    both = Turn("user", (paint(RED), paint(BLUE), "What?"))
    shots = [(RED, "dax"), ((128, 0, 128), "wug"), (BLUE, "fep")]
    question = ask(shots, None)
    assert say(nearest(), Question("q", (*question.turns[:-1], both))) == "wug"


@given(st.lists(st.tuples(st.sampled_from([RED, BLUE, VIOLET, PINK]), st.sampled_from("abc")), min_size=1, max_size=9),
       st.integers(1, 10))  # fmt: skip
def test_votes_are_counted_and_the_nearer_decides_between_as_many(shots, k):
    model, question = nearest(k), ask(shots, PINK)
    unit = lambda colour: np.array(colour) / np.linalg.norm(colour)  # noqa: E731
    order = sorted(range(len(shots)), key=lambda n: (-round(float(unit(PINK) @ unit(shots[n][0])), 5), -n))
    votes = [shots[n][1] for n in order[:k]]
    most = max(votes.count(answer) for answer in votes)
    leading = {answer for answer in votes if votes.count(answer) == most}
    said = say(model, question)
    assert said in leading
    (scores,) = model.loglikelihood([question], [[" a", " b", " c", " never"]])
    shares = [math.exp(score.total) for score in scores]
    assert shares[:3] == pytest.approx([max(UNSAID, votes.count(x) / len(votes)) for x in "abc"], abs=1e-3)
    assert shares[3] == pytest.approx(UNSAID)
    assert [x for x, score in zip("abc", scores, strict=False) if score.greedy] == [said]
    assert "abc"[int(np.argmax(shares[:3]))] == said
    if len(leading) > 1 and most == 1:
        assert said == votes[0]


def test_the_last_shot_is_copied_up_to_a_stop_text():
    shots = [(RED, "dax"), (BLUE, "a wug. And more")]
    assert say(CopyLastShot(), ask(shots, RED)) == "a wug. And more"
    assert say(CopyLastShot(), ask(shots, RED, stop=(".",))) == "a wug"
    (scores,) = CopyLastShot().loglikelihood([ask(shots[:1], RED)], [[" dax", " wug"]])
    assert [score.total for score in scores] == pytest.approx([math.log(1 - UNSAID), math.log(UNSAID)])


def test_without_shots_an_answer_fails_and_nothing_can_be_compared():
    for model in (CopyLastShot(), nearest()):
        (answer,) = model.generate([ask([], RED)])
        assert (answer.status, answer.text) == ("failed", "")
        assert "no shot" in answer.reason
        with pytest.raises(DataError, match="question 'q': there is no shot"):
            model.loglikelihood([ask([], RED)], [[" dax", " wug"]])


def test_shots_are_read_with_all_their_images():
    question = Question("q", (
        Turn("system", ("Look.",)), Turn("user", (paint(RED), "and", paint(BLUE))), Turn("assistant", ("dax ",)),
        Turn("user", (paint(PINK), "?")),
    ))  # fmt: skip
    shots, own = read_shots(question)
    assert shots == [((paint(RED), paint(BLUE)), "dax")]
    assert own == (paint(PINK),)


def test_wrong_options_are_named():
    with pytest.raises(OptionError, match="k must be at least 1"):
        NearestShot(MeanColour(), 0)
    with pytest.raises(OptionError, match="CopyLastShot does not encode images"):
        NearestShot(CopyLastShot())


class ClassOracle(MeanColour):
    """Encodes an episode's images by their class, which it knows from the data set's own pictures."""

    def load(self, device):
        from harness_embedded.sampling import COLOURS
        from harness_embedded.speaking_scenes import load_known_scenes

        scenes = load_known_scenes("episodes-test", 3000)
        self.codes = {ImagePart(i).digest: int(c) for i, c in zip(scenes.images, scenes.colour, strict=True)}
        self.count = len(COLOURS)

    def prepare(self, image):
        return torch.nn.functional.one_hot(torch.tensor(self.codes[ImagePart(image).digest]), self.count)[
            :, None, None
        ].float()


def test_with_a_perfect_embedder_the_nearest_is_right_and_the_last_as_often_as_it_is_of_the_class(tmp_path):
    data = {"plugin": "scene-episodes", "by": "colour", "shots": 2, "count": 40}
    suite = {
        "name": "toy", "protocol": {"plugin": "answering", "how": "likelihood"}, "datasets": [data], "seeds": [0],
        "models": ["copy-last-shot", {"plugin": "nearest-shot", "embedder": "oracle"}],
        "metrics": ["choice-accuracy"], "axes": {"probe": ["none", "shot labels flipped", "shots without images"]},
    }  # fmt: skip
    with registry.register_temporarily("models", "oracle", ClassOracle):
        run = harness.run(suite, store=tmp_path / "store", device="cpu", executor="inline")
    assert {r.status for r in run.records} == {"ok"}, [r.reason for r in run.records]
    found = {
        (r.coordinates["model"].partition(" ")[0], r.coordinates["probe"]): r.metrics["choice-accuracy"]
        for r in run.records
    }
    from harness_embedded.scene_episodes import SceneEpisodes

    split = SceneEpisodes(by="colour", shots=2, count=40).load("test")
    last = np.mean(
        [t[-2].parts[0] == a.choices[a.right] for t, a in zip(split.turns, split.targets, strict=True)]
    )
    assert 0.2 < last < 0.8
    for model, plain in (("nearest-shot", 1.0), ("copy-last-shot", last)):
        assert found[model, "none"] == pytest.approx(plain)
        assert found[model, "shot labels flipped"] == pytest.approx(1 - plain)
        assert found[model, "shots without images"] == pytest.approx(last)
