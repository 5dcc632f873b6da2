"""The shipped suites on real data: their plans without it, and all their tables on small copies of its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import harness
from harness.discovery import registry
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness_language.contracts import ContinuationScore
from harness_language.conversations import ModelAnswer, Question, list_images

NAMES = ("mllm-vqa", "mllm-pope", "mllm-choice", "mllm-icl")
IMAGES = 24


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_skipped_with_what_is_missing(name, monkeypatch, tmp_path):
    for variable in ("HARNESS_DATA_ROOT", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    plan = make_plan(suites.load_suite_file(name))
    assert plan.counts() == {"skipped": len(plan)}
    reasons = {p.reason for p in plan}
    assert any("OPENAI_BASE_URL" in reason for reason in reasons)
    assert all(any(w in r for w in ("get it", "get them", "get COCO", "no such", "OPENAI")) for r in reasons)


@pytest.mark.parametrize("name", NAMES)
def test_every_suite_has_a_blind_row_and_the_probes(name):
    suite = suites.load_suite_file(name)
    cells = [p.cell for p in make_plan(suite)]
    assert {c.model.plugin for c in cells if c.model.label == "blind"} == {"hf-chat"}
    assert {"none", "no image", "another image"} <= {c.axes["probe"] for c in cells}
    compared = [t.summary for t in suite.tables if t.summary is not None]
    assert all(s["plugin"] == "probe-differences" and s["blind"] == "blind" for s in compared)
    assert compared


class Speaker:
    """Says of red images yes, "dog" or its letter, of others no, "cat" or its letter; without one as of red ones."""

    def sees_red(self, question: Question) -> bool:
        images = list_images(question)
        return not images or int(np.asarray(images[-1].decoded())[0, 0, 0]) > 127

    def read(self, question: Question) -> str:
        text, red = " ".join(str(p) for p in question.turns[-1].parts), self.sees_red(question)
        animal = "dog" if red else "cat"
        if "letter" in text:
            return next(line[0] for line in text.splitlines() if line.endswith(f"a {animal}"))
        return f"a {animal} on the grass" if "Describe" in text else "yes" if red else "no"

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        return [ModelAnswer(self.read(question)) for question in questions]

    def loglikelihood(self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]) -> Any:
        return [
            [ContinuationScore(-float(text.strip() != self.read(q)), 1, False) for text in own]
            for q, own in zip(questions, continuations, strict=True)
        ]


class Constant(Speaker):
    """Says what it says of red images."""

    def sees_red(self, question: Question) -> bool:
        return True


def write_data(root: Path) -> None:
    """Images that are red in turn, with two questions each for VQAv2, POPE and choices, and captions."""
    for split in ("train", "val"):
        folder = root / "coco" / f"{split}2014"
        folder.mkdir(parents=True)
        names = [f"COCO_{split}2014_{n:012d}.jpg" for n in range(IMAGES)]
        for n, name in enumerate(names):
            picture = Image.new("RGB", (16, 16), (255 * (n % 2), 0, 0))
            picture.save(folder / name)
            for own in ("questions", "mmbench", "mmstar", "mmvp"):
                (root / own).mkdir(exist_ok=True)
                picture.save(root / own / f"{split}{n}.png")
        said = [("yes" if n % 2 else "no", "dog" if n % 2 else "cat") for n in range(IMAGES)]
        write_vqa(root / "vqa", split, [yes for yes, _ in said])
        write_captions(root / "coco" / "annotations", split, names, [animal for _, animal in said])
        rows = [
            {"id": f"{n}-{k}", "question": f"Is it red? ({k})", "image": f"{split}{n}.png", "image_id": n}
            | {"answers": [said[n][0]]}
            for n in range(IMAGES) for k in range(2)
        ]  # fmt: skip
        write_lines(root / "questions" / ("train.jsonl" if split == "train" else "test.jsonl"), rows)
    for setting in ("random", "popular", "adversarial"):
        asked = [
            {"question_id": 2 * n + k, "image": names[n], "text": f"Is there a dog in image {k}?", "label": said[n][0]}
            for n in range(IMAGES) for k in range(2)
        ]  # fmt: skip
        write_lines(root / "pope" / f"coco_pope_{setting}.json", asked)
    for name in ("mmbench", "mmstar", "mmvp"):
        rows = [
            {"id": f"{n}-{k}", "question": f"{name}: what is it? ({k})", "image": f"val{n}.png", "image_id": n}
            | {"choices": ["a dog", "a cat", "a cow"], "answer": "a dog" if n % 2 else "a cat"}
            for n in range(IMAGES) for k in range(2)
        ]  # fmt: skip
        write_lines(root / name / "test.jsonl", rows)


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_vqa(folder: Path, split: str, answers: Sequence[str]) -> None:
    folder.mkdir(exist_ok=True)
    asked = [
        {"image_id": n, "question_id": 10 * n + k, "question": f"Is it red? ({k})"}
        for n in range(IMAGES) for k in range(2)
    ]  # fmt: skip
    found = [
        {"question_id": q["question_id"], "image_id": q["image_id"], "answer_type": "yes/no", "question_type": "is"}
        | {"multiple_choice_answer": answers[q["image_id"]]}
        | {"answers": [{"answer": answers[q["image_id"]], "answer_id": i + 1} for i in range(10)]}
        for q in asked
    ]  # fmt: skip
    named = f"mscoco_{split}2014"
    subset = {"data_subtype": f"{split}2014"}
    (folder / f"v2_OpenEnded_{named}_questions.json").write_text(json.dumps(subset | {"questions": asked}))
    (folder / f"v2_{named}_annotations.json").write_text(json.dumps({"annotations": found}))


def write_captions(folder: Path, split: str, names: Sequence[str], animals: Sequence[str]) -> None:
    folder.mkdir(exist_ok=True)
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    captions = [
        {"id": n, "image_id": n, "caption": f"a {animal} on the grass"} for n, animal in enumerate(animals)
    ]
    (folder / f"captions_{split}2014.json").write_text(
        json.dumps({"images": images, "annotations": captions})
    )
    kinds = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    shown = [
        {"id": n, "image_id": n, "category_id": 1 + (animal == "dog")} for n, animal in enumerate(animals)
    ]
    instances = {"images": images, "categories": kinds, "annotations": shown}
    (folder / f"instances_{split}2014.json").write_text(json.dumps(instances))


@pytest.mark.parametrize("name", NAMES)
def test_all_tables_can_be_made(name, monkeypatch, tmp_path):
    write_data(tmp_path / "data")
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    planned = suites.load_suite_file(name).model_dump()
    planned["models"] = [{"plugin": "speaker", "label": "seeing"}, {"plugin": "constant", "label": "blind"}]
    planned["seeds"] = [0]
    for experiment in planned["experiments"]:
        experiment["seeds"] = None
        if "shots" in experiment["axes"]:
            experiment["axes"]["shots"] = [n for n in experiment["axes"]["shots"] if n in (0, 4)]
        if (experiment["protocol"] or {}).get("embedder"):
            experiment["protocol"]["embedder"] = {"plugin": "tiny-vit", "steps": 0}
        for model in experiment["models"] or ():
            if model.get("embedder"):
                model["embedder"] = {"plugin": "tiny-vit", "steps": 0}
    with (
        registry.register_temporarily("models", "speaker", Speaker),
        registry.register_temporarily("models", "constant", Constant),
    ):
        run = harness.run(planned, store=tmp_path / "store", device="cpu", executor="inline")
    failed = {(r.coordinates["dataset"], r.reason) for r in run.records if r.status != "ok"}
    assert not failed
    tables = {table.name: table for table in run.tables()}
    for table in tables.values():
        assert table.rows, table.name
        missing = [n for n in table.footnotes if n.startswith(("not available", "no value"))]
        assert not missing, (table.name, missing)
    verdicts = {row.header for row in tables["looked"].rows}
    assert {v for v in verdicts if "seeing" in v and "looked" not in v} == set()
    assert {v for v in verdicts if "blind" in v and "looked" in v} == set()
