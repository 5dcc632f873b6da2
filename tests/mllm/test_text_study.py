"""The protocol `text-study` with speaking models whose answers are known in advance."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness import OptionError, Sample
from harness.discovery import registry
from harness.leaderboard.frame import shorten_columns, suite_frame
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness_language.conversations import ModelAnswer, Question, list_images
from harness_mllm.probe_summary import ProbeDifferences
from harness_mllm.study_arms import parse_arm
from harness_mllm.study_baselines import predict_supervised, vote_of_neighbours
from harness_mllm.study_items import exchange_items
from harness_mllm.study_options import StudyOptions
from harness_mllm.study_prompts import StudyPrompts
from harness_mllm.study_vectors import find_nearest_items, scale_to_unit

COLOURS = ("red", "green", "blue", "grey")


class Clips:
    """Clips of one colour in two frames, two in a group; titles tell only whether it is one of the first two colours."""

    splits = ("train", "test")

    def __init__(self, several: bool = False) -> None:
        self.several = several
        self.target_kind = "label sets" if several else "label"

    def load(self, split: str) -> Any:
        return ClipSplit(split, self.several)


class ClipSplit:
    per_sample = ("groups", "titles")
    class_names = COLOURS

    def __init__(self, split: str, several: bool) -> None:
        self.labels = np.array([n // 2 % 4 for n in range(40)])
        self.ids = [f"{split}-{n}" for n in range(40)]
        self.groups = [f"{split}-{n // 2}" for n in range(40)]
        self.titles = [f"{'early' if c < 2 else 'late'} clip" for c in self.labels]
        self.targets = self.labels
        if several:  # red alone, and each other colour with red
            self.targets = np.eye(4, dtype=np.int64)[self.labels]
            self.targets[:, 0] = 1

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        pixels = np.full((4, 4, 3), 40 * (int(self.labels[row]) + 1), np.uint8)
        told: dict[str, Any] = (
            {"label": int(self.targets[row])} if self.targets.ndim == 1 else {"target": self.targets[row]}
        )
        return Sample(self.ids[row], images=[pixels, pixels], text=self.titles[row], **told)


def text_of(question: Question) -> str:
    return "".join(part for part in question.turns[-1].parts if isinstance(part, str))


class Reader:
    """Describes frames by their colour, states one hypothesis, and leaves answers about items to `label`."""

    asked: ClassVar[list[Question]] = []

    def load(self, device: Any) -> None:
        Reader.asked = []

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        Reader.asked += questions
        return [self.answer(question) for question in questions]

    def answer(self, question: Question) -> ModelAnswer:
        if images := list_images(question):
            return ModelAnswer(
                f"Something {COLOURS[int(np.asarray(images[0].decoded())[0, 0, 0]) // 40 - 1]}."
            )
        if "hypotheses about what tells" in text_of(question):
            return ModelAnswer("What is seen is the label.")
        return self.label(text_of(question))

    def label(self, text: str) -> ModelAnswer:
        """Answer with the first colour of the item's frames, else by the title, always the first of the two."""
        item = text.partition("The item:\n")[2].partition("\n\n")[0]
        seen = re.findall(r"Something (\w+)", item)
        letter = "ABCD"[COLOURS.index(seen[0])] if seen else "A" if "early" in item else "C"
        if "separated by semicolons" in text:
            return ModelAnswer("red; " + COLOURS["ABCD".index(letter)])
        return ModelAnswer(f"{letter}.")


class Copier(Reader):
    """Answers with the label that most examples have; of several, the one whose last example stands last."""

    def label(self, text: str) -> ModelAnswer:
        labels = re.findall(r"^Label: (\w)\.", text, re.MULTILINE)
        votes = Counter(labels)
        best = max(
            votes, key=lambda one: (votes[one], max(n for n, said in enumerate(labels) if said == one))
        )
        return ModelAnswer(best)


class Follower(Reader):
    """Repeats a trained model's prediction."""

    def label(self, text: str) -> ModelAnswer:
        found = re.search(r"A trained model predicts: (\w)\. \w+ \(probability [01]\.\d\d\)", text)
        assert found
        return ModelAnswer(found[1])


class Encoder:
    """Embeds an image as (2, 0) if it is red and (0, 1) if not, and a text as its lengths before and after "clip"."""

    def load(self, device: Any) -> None:
        pass

    def prepare(self, image: Any) -> torch.Tensor:
        return torch.tensor([[[float(np.asarray(image)[0, 0, 0])]]])

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        red = images.flatten(1) == 40
        return torch.cat([2.0 * red, 1.0 * ~red], dim=1)

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if "early" in text else [0.0, 1.0] for text in texts])


class Mumbler(Reader):
    """Is not understood about early items, and refuses others."""

    def label(self, text: str) -> ModelAnswer:
        return (
            ModelAnswer("Who knows?")
            if "early" in text.partition("The item:")[2]
            else ModelAnswer("", "refused")
        )


MODELS = {"reader": Reader, "copier": Copier, "follower": Follower, "mumbler": Mumbler, "encoder": Encoder}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Return a function that runs a grid and returns records, and samples of each, by arm and probe."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    def study(arms, model="reader", dataset="clips", probes=("none",), metrics=None, **options: Any):
        suite = {
            "name": "toy", "protocol": {"plugin": "text-study", **options}, "models": [model], "datasets": [dataset],
            "metrics": metrics or ["choice-accuracy", "answer-rates", "within-one", "quadratic-kappa", "top1"],
            "axes": {"arm": list(arms), "probe": list(probes)}, "seeds": [0],
        }  # fmt: skip
        run = harness.run(suite, store=tmp_path / "store", device="cpu")
        store = harness.Store(tmp_path / "store")
        found = {}
        for record in run.records:
            assert record.status == "ok", record.reason
            found[record.coordinates["arm"], record.coordinates["probe"]] = record, store.samples(record.id)
        return found

    contexts = [registry.register_temporarily("models", name, made) for name, made in MODELS.items()]
    contexts.append(registry.register_temporarily("datasets", "clips", Clips))
    for context in contexts:
        context.__enter__()
    yield study
    for context in contexts:
        context.__exit__(None, None, None)


def test_titles_tell_half_and_frames_all(study):
    found = study(["title", "frames", "title+frames"])
    accuracy = {arm: record.metrics["choice-accuracy"] for (arm, _), (record, _) in found.items()}
    assert accuracy == {"title": 0.5, "frames": 1, "title+frames": 1}
    record, samples = found["title", "none"]
    assert record.metrics["within-one"] == 1  # red for green, blue for grey
    assert record.metrics["unreadable"] == 0
    assert samples["cluster"].nunique() == 20
    assert "Frame" not in "".join(samples["question"])


def test_frames_are_described_once_for_all_arms(study):
    study(["frames", "title+frames", "title+frames+neighbours"], pool=8)
    assert sum(bool(list_images(q)) for q in Reader.asked) == 2 * (40 + 8)


@pytest.mark.parametrize("shown", ["title", "title+frames"])
@pytest.mark.parametrize("count", [1, 4, 7])
def test_a_model_that_copies_the_majority_of_neighbours_is_the_vote(study, shown, count):
    found = study([f"{shown}+neighbours", f"{shown}+knn"], model="copier", neighbours=count, pool=24)
    copied, voted = (found[f"{shown}+{part}", "none"] for part in ("neighbours", "knn"))
    assert copied[1]["extracted"].tolist() == voted[1]["extracted"].tolist()
    assert copied[1]["neighbours"].tolist() == voted[1]["neighbours"].tolist()
    assert copied[0].metrics["choice-accuracy"] == voted[0].metrics["choice-accuracy"]
    assert voted[0].metrics["top1.supervised"] == voted[0].metrics["choice-accuracy"]
    assert voted[0].metrics["choice-accuracy"] == (1 if "frames" in shown else pytest.approx(0.5, abs=0.26))


@pytest.mark.parametrize("how", ["logistic", "mlp", "knn"])
def test_a_model_that_follows_the_prediction_is_the_supervised_model(study, how):
    found = study(["title+frames+prediction", f"title+frames+{how}"], model="follower", supervised=how)
    (followed, said), (fitted, own) = found.values()
    assert said["extracted"].tolist() == own["extracted"].tolist()
    assert followed.metrics["choice-accuracy"] == fitted.metrics["choice-accuracy"] == 1


def test_frames_are_compared_by_the_mean_of_unit_embeddings(study):
    found = study(["title+frames+knn"], embedder="encoder", embed="frames", neighbours=1)
    record, samples = found["title+frames+knn", "none"]
    assert record.metrics["choice-accuracy"] == 0.5  # all red, and all others as the first of them
    assert samples["extracted"].value_counts().to_dict() == {"red": 10, "green": 30}


def test_two_frames_of_unequal_length_count_alike():
    vectors = scale_to_unit(np.array([[2.0, 0.0], [0.0, 1.0]]))
    assert scale_to_unit(vectors.mean(axis=0, keepdims=True))[0] == pytest.approx([2**-0.5, 2**-0.5])


def test_texts_are_compared_by_the_embedder(study):
    record, samples = study(["title+knn"], embedder="encoder", neighbours=1)["title+knn", "none"]
    assert samples["extracted"].value_counts().to_dict() == {"red": 20, "blue": 20}
    assert record.metrics["choice-accuracy"] == 0.5


def test_neighbours_are_of_other_groups():
    unit = scale_to_unit(np.array([[1.0, 0], [1, 0.1], [0, 1], [1, 0]]))
    near = find_nearest_items(unit, unit[:1], ["a"], ["a", "b", "c", "d"], 2)
    assert [rows.tolist() for rows in near] == [[3, 1]]


def test_hypotheses_are_stated_once_and_shown_with_each_item(study):
    found = study(["title+hypotheses"], examples=6)
    record, samples = found["title+hypotheses", "none"]
    asked = [q for q in Reader.asked if "hypotheses about what tells" in text_of(q)]
    assert len(asked) == 1
    assert text_of(asked[0]).count("\nLabel: ") == 6
    assert record.notes["hypotheses"] == "What is seen is the label."
    assert all("What is seen is the label." in text for text in samples["question"])


def test_wrong_frames_show_that_frames_were_used(study, tmp_path):
    probes = ("none", "no image", "another image")
    found = study(["title+frames", "title+frames+knn"], probes=probes)
    for arm in ("title+frames", "title+frames+knn"):
        values = {probe: found[arm, probe][0].metrics["choice-accuracy"] for probe in probes}
        assert values["none"] == 1
        assert values["another image"] < 0.5
    assert found["title+frames", "no image"][0].metrics["choice-accuracy"] == 0.5
    store = harness.Store(tmp_path / "store")
    table = ProbeDifferences(within=["arm"])(shorten_columns(suite_frame(store, "toy")), store)
    verdicts = table[table["arm"] == "title+frames"]["verdict"]
    assert set(verdicts) == {"looked"}


def test_what_cant_be_read_is_counted_and_wrong(study):
    record, samples = study(["title"], model="mumbler")["title", "none"]
    assert record.metrics["answer-rates.unparsed"] == record.metrics["answer-rates.refused"] == 0.5
    assert record.metrics["unreadable"] == 1
    assert record.metrics["choice-accuracy"] == record.metrics["within-one"] == 0
    assert record.metrics["quadratic-kappa"] < 0
    assert set(samples["outcome"]) == {"unparsed", "refused"}


def test_label_sets(study):
    clips = {"plugin": "clips", "several": True}
    metrics = ["set-micro-f1", "set-macro-f1", "exact-set"]
    arms = ["title", "title+frames", "title+frames+knn", "title+frames+logistic", "title+frames+mlp"]
    found = study(arms, dataset=clips, metrics=metrics, max_tokens=8)
    for (arm, _), (record, samples) in found.items():
        assert record.metrics["exact-set"] == (0.5 if arm == "title" else 1), arm
        assert samples["exact-set"].mean() == record.metrics["exact-set"]
        assert record.metrics["set-micro-f1"] == (1 if arm != "title" else pytest.approx(2 * 50 / (60 + 70)))
    assert found["title", "none"][1]["accepted"].tolist()[:3] == ["red", "red", "red; green"]


def test_the_embedded_films_and_model(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    suite = {
        "name": "toy", "protocol": {"plugin": "text-study", "describe": "What colour is it?", "describe_tokens": 4},
        "models": ["tiny-mllm"], "datasets": [{"plugin": "scene-films", "count": 72}], "metrics": ["choice-accuracy"],
        "axes": {"arm": ["title+knn", "frames+knn", "title+frames+neighbours"]}, "seeds": [0],
    }  # fmt: skip
    records = harness.run(suite, store=tmp_path / "store", device="cpu").records
    assert [record.status for record in records] == ["ok"] * 3
    accuracy = {record.coordinates["arm"]: record.metrics["choice-accuracy"] for record in records}
    assert accuracy["frames+knn"] > 0.8 > accuracy["title+knn"] + 0.2


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("red; grey", [0, 3]), ("Genres: Red, Blue.", [0, 2]), ("- red\n- green", [0, 1]), ("red and blue", [0, 2]),
        ("none", []), ("None.", []), ("purple", None), ("red; purple", None), ("", None), ("I think it is red", None),
    ],
)  # fmt: skip
def test_lists_of_labels_are_read_or_not_at_all(said, read):
    assert StudyPrompts(StudyOptions(), COLOURS, True).read_label_set(said) == read


def test_votes_and_ties():
    targets = np.array([0, 1, 1, 2])
    scores = vote_of_neighbours([np.array([0, 1, 2, 3]), np.array([3, 0]), np.array([0, 3])], targets, 4)
    assert scores.argmax(axis=1).tolist() == [1, 2, 0]
    assert scores[0] == pytest.approx([1 / 4, 1 / 2, 1 / 4, 0], abs=1e-5)


def test_classes_without_training_items_get_no_probability():
    vectors = np.eye(3, dtype=np.float32)
    scores, _ = predict_supervised("logistic", vectors, np.array([0, 2, 2]), vectors, 4, 10.0, 0)
    assert scores[:, [1, 3]].max() == 0
    assert scores.sum(axis=1) == pytest.approx(1)
    one, _ = predict_supervised("logistic", vectors, np.array([2, 2, 2]), vectors, 4, 10.0, 0)
    assert one.argmax(axis=1).tolist() == [2, 2, 2]


def test_exchanged_items_are_of_another_group():
    groups = [str(n // 3) for n in range(12)]
    found = exchange_items(groups, 5)
    assert all(groups[int(other)] != own for other, own in zip(found, groups, strict=True))


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("titel", "did you mean 'title'"), ("knn", "shows nothing"), ("title+title", "twice"),
        ("title+knn+neighbours", "stands alone"), ("title+knn+mlp", "stands alone"),
    ],
)  # fmt: skip
def test_bad_arms_are_refused(arm, message):
    with pytest.raises(OptionError, match=message):
        parse_arm(arm)


def test_probes_of_blind_arms_are_skipped():
    suite = {
        "name": "toy", "protocol": "text-study", "models": ["tiny-mllm"], "datasets": ["scene-films"],
        "metrics": ["choice-accuracy"], "axes": {"arm": ["title"], "probe": ["another image"]}, "seeds": [0],
    }  # fmt: skip
    (planned,) = make_plan(suites.parse_suite(suite))
    assert "changes frames, and this arm shows none" in str(planned.reason)


def test_the_shipped_suite_says_what_is_missing(monkeypatch, tmp_path):
    for variable in ("HARNESS_DATA_ROOT", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    plan = make_plan(suites.load_suite_file("mllm-study"))
    assert plan.counts() == {"skipped": len(plan)}
    assert all(any(w in p.reason for w in ("no such table", "OPENAI_BASE_URL", "get it")) for p in plan)


class Guesser(Reader):
    """Says the first class, or names it."""

    def answer(self, question: Question) -> ModelAnswer:
        if images := list_images(question):
            return ModelAnswer("bright" if np.asarray(images[0].decoded())[0, 0, 0] > 127 else "dark")
        text = text_of(question)
        bright = "bright" in text.partition("The item:\n")[2]
        if "separated by semicolons" in text:
            return ModelAnswer("comedy; drama" if bright else "drama")
        return ModelAnswer("D" if bright else "A")


def test_all_tables_of_the_shipped_suite_can_be_made(monkeypatch, tmp_path):
    for folder, column in (("videos", "channel"), ("films", "film")):
        (tmp_path / folder).mkdir()
        rows = []
        for n in range(48):
            Image.new("RGB", (8, 8), (255 * (n % 2),) * 3).save(tmp_path / folder / f"{n}.png")
            rows.append(
                {
                    "id": n,
                    "title": f"number {n}",
                    "frames": f"{n}.png",
                    column: n // 2 if folder == "videos" else n,
                }
                | {"views": n + 1000 * (n % 2), "published": f"{2000 + n // 2}"}
                | {"genres": "comedy;drama" if n % 2 else "drama", "split": "train" if n < 24 else "test"}
            )
        (tmp_path / folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    planned = suites.load_suite_file("mllm-study").model_dump()
    planned["models"] = [{"plugin": "guesser"}]
    with registry.register_temporarily("models", "guesser", Guesser):
        run = harness.run(planned, store=tmp_path / "store", device="cpu", executor="inline")
    assert not {r.reason for r in run.records if r.status != "ok"}
    tables = {table.name: table for table in run.tables()}
    assert set(tables) == {"popularity", "genres", "looked"}
    for table in tables.values():
        assert table.rows
        assert not [n for n in table.footnotes if n.startswith(("not available", "no value"))]
    assert any("looked" in row.header for row in tables["looked"].rows)
