"""The axis `shots`: the pairs that fusion trains on are the images that prompts learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import harness
from harness.discovery import registry
from harness_fusion.fusion_cell import FusionCell
from harness_prompts.prompt_data import PromptData

SPLITS = ("train", "val", "test")


@pytest.fixture
def trained_on(monkeypatch):
    """The ids that each cell trains on, by its shots and seed."""
    found, start = {}, FusionCell.__init__

    def noting(self, protocol, job):
        start(self, protocol, job)
        found[job.cell.axes.get("shots", "all"), job.cell.seed] = self.parts.train.ids

    monkeypatch.setattr(FusionCell, "__init__", noting)
    return found


@pytest.fixture
def whole(posts, monkeypatch):
    """Posts that lack no modality, with splits of their own."""
    load = posts.load

    def complete(self, name):
        split = load(self, name)
        split.ids = [f"{name}{row}" for row in range(len(split))]
        split.has_text = split.has_image = np.ones(len(split), bool)
        split.templates = ["a {} post."]
        return split

    monkeypatch.setattr(posts, "load", complete)
    monkeypatch.setattr(posts, "splits", SPLITS)
    return posts


def test_shots_are_so_many_pairs_of_each_class_and_few_are_among_many(
    suite, records, only, trained_on, posts
):
    suite(methods=only("early"), seeds=[0, 1], axes={"shots": [2, 4, "all"]})
    records()
    targets = dict(zip(posts().load("all").ids, posts().load("all").targets.tolist(), strict=True))
    for (shots, seed), ids in trained_on.items():
        assert set(ids) <= set(trained_on["all", seed])
        if shots != "all":
            assert np.bincount([targets[i] for i in ids]).tolist() == [shots, shots]
    assert trained_on["all", 0] == trained_on["all", 1]
    assert set(trained_on[2, 0]) < set(trained_on[4, 0])
    assert set(trained_on[4, 0]) != set(trained_on[4, 1])


def test_they_are_the_shots_of_the_prompts_suite(
    suite, records, only, counting, trained_on, whole, tmp_path, monkeypatch
):
    class Scaled(counting):
        logit_scale = 10.0

        def encode_image(self, images):
            return self.encode_image_tokens(images)[0]

        def encode_text(self, texts):
            return torch.ones(len(texts), 6)

    registry.register("models", "scaled", Scaled)
    drawn, shots_of = {}, PromptData._draw_shots

    def noting(self, split, shots, classes, skip):
        found = shots_of(self, split, shots, classes, skip)
        if split == "train":
            drawn[shots, self.job.cell.seed] = [self.job.splits(split).ids[row] for row in found[0]]
        return found

    monkeypatch.setattr(PromptData, "_draw_shots", noting)
    parts = {"models": ["scaled"], "datasets": ["posts"], "metrics": ["top1"], "seeds": [0, 1]}
    parts["axes"] = {"shots": [1, 4]}
    prompts = {"name": "prompts", "protocol": "few-shot", "methods": ["tip-adapter"], **parts}
    run = harness.run(prompts, store=tmp_path / "prompts", device="cpu", executor="inline")
    assert {r.status for r in run.records} == {"ok"}, [r.reason for r in run.records]
    suite(**{**parts, "methods": only("early")})
    records()
    assert drawn.keys() == trained_on.keys() == {(1, 0), (1, 1), (4, 0), (4, 1)}
    for key, ids in trained_on.items():
        assert sorted(ids) == sorted(drawn[key])


def test_cells_of_suites_without_the_axis_have_no_shots_in_their_ids(own_plugins, only):
    def ids(**axes):
        whole = {
            "name": "ids", "protocol": "fusion", "models": ["counting"], "datasets": ["posts"], "metrics": ["top1"],
            "methods": only("early"), **({"axes": axes} if axes else {}),
        }  # fmt: skip
        return [cell.cell.id for cell in harness.plan(whole)]

    assert len({*ids(), *ids(shots=[2, 4])}) == 3


@pytest.mark.parametrize("wrong", [0, -1, True, "some", 1.5])
def test_shots_that_mean_nothing_are_refused(suite, only, wrong):
    run = suite(methods=only("early"), axes={"shots": [wrong]})
    assert "shots must be a positive whole number of pairs per class or 'all'" in run.records[0].reason
