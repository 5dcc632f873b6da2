"""The published numbers beside the suite: they fit the suite's data and models, and other published runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.published.finding import read_published_set

DATA = Path(__file__).parents[1] / "importers" / "data"
SETS = {"clip_image_retrieval": "image", "clip_text_retrieval": "text"}


@pytest.mark.parametrize(("name", "way"), SETS.items())
def test_an_earlier_run_of_clip_benchmark_has_the_same_recalls(name, way):
    """Both list R@5 of the same checkpoints; the programs' versions and precisions differ."""
    found = read_published_set(name)
    place = {model: n for n, model in enumerate(found.models)}
    compared = 0
    with (DATA / "benchmark.csv").open() as file:
        for row in csv.DictReader(file):
            model = f"{row['model']}/{row['pretrained']}".replace(
                "ViT-B-32/openai", "ViT-B-32-quickgelu/openai"
            )
            data = {"mscoco_captions": "coco-karpathy", "flickr30k": "flickr30k-karpathy"}.get(row["dataset"])
            if data is None or model not in place:
                continue
            ours = found.numbers["R@5", data][place[model]]
            assert ours == pytest.approx(float(row[f"{way}_retrieval_recall@5"]), abs=0.006), (model, data)
            compared += 1
    assert compared >= 6


def test_numbers_of_the_paper_that_the_reference_names():
    image, text = map(read_published_set, SETS)
    for model, data, numbers in [
        ("ViT-B-32-quickgelu/openai", "flickr30k-karpathy", (0.834, 0.949)),
        ("ViT-B-32-quickgelu/openai", "coco-karpathy", (0.558, 0.748)),
        ("ViT-L-14/openai", "coco-karpathy", (0.611, 0.792)),
    ]:
        found = tuple(s.numbers["R@5", data][s.models.index(model)] for s in (image, text))
        assert found == pytest.approx(numbers, abs=0.003)


def test_recall_grows_with_k():
    for found in map(read_published_set, SETS):
        assert found.fractions == {"R@1", "R@5", "R@10"}
        for data in ("coco-karpathy", "flickr30k-karpathy"):
            by_k = [found.numbers[f"R@{k}", data] for k in (1, 5, 10)]
            assert all(a < b < c for a, b, c in zip(*by_k, strict=True))
