"""Methods of retrieval through the protocol: a hub that dual softmax breaks, and entailment cones."""

from __future__ import annotations

import numpy as np
import pytest

import harness

HUB = np.array([[0.9, 0.1, 0.1], [0.8, 0.7, 0.1], [0.8, 0.1, 0.7]])
"""Scores of three texts (rows) with three images; the first image is the nearest to all."""


def test_dual_softmax_breaks_a_hub(search):
    # inner products with unit vectors are the scores themselves
    texts = dict(zip("abc", HUB.tolist(), strict=True))
    data = [(n, [text]) for n, text in enumerate("abc")]
    suite = {"models": ["lookup-dot"], "metrics": ["recall-at-k", "hubness-skew"]}
    plain = search(np.eye(3), texts, data, directions=["text to image"], depth=1, suite=suite)[0]
    remedy = {**suite, "methods": [{"plugin": "dual-softmax", "beta": 20}]}
    better = search(np.eye(3), texts, data, directions=["text to image"], depth=1, suite=remedy)[0]
    assert plain.metrics["recall-at-k"] == pytest.approx(1 / 3)
    assert better.metrics["recall-at-k"] == 1
    assert better.metrics["hubness-skew"] == 0 < plain.metrics["hubness-skew"]
    assert any("transductive" in remark for remark in better.remarks)
    assert not any("transductive" in remark for remark in plain.remarks)


def test_images_inside_their_texts_cones(search, tmp_path):
    # short texts are general: near the origin their cones are wide; the second text looks the other way
    texts = {"short": (0.05, 0.0), "away": (-1.0, 0.0)}
    data = [(0, ["short"]), (1, ["away"])]
    suite = {"models": ["lookup-dot"], "methods": ["lorentz-distance"]}
    by_image, by_text = search([[1, 0.1], [1, 0]], texts, data, suite=suite)
    assert by_image.metrics["inside_cone"] == by_text.metrics["inside_cone"] == 1 / 2
    samples = harness.Store(tmp_path / "store").samples(by_text.id)
    assert samples["inside_cone"].tolist() == [1, 0]
    assert "inside_cone" not in harness.Store(tmp_path / "store").samples(by_image.id)


def test_a_cosine_model_has_no_lengths_to_rank_by(search):
    texts = {"a": (1, 0), "b": (0, 1)}
    found = search(np.eye(2), texts, [(0, ["a"]), (1, ["b"])], suite={"methods": ["lorentz-distance"]})[0]
    assert any("same length" in remark for remark in found.remarks)
