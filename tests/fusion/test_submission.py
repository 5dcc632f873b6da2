"""Submission files: read back by another reader they hold the predictions, in order and complete."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.errors import DataError, OptionError
from harness_fusion.submission import write_submission

NAMES = ("negative", "neutral", "positive")
SCORES = np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [0.2, 0.6, 0.2]])


def test_tags_by_guid(tmp_path):
    path = write_submission(tmp_path / "out.csv", ["0042", "7", "a,b"], SCORES, NAMES)
    read = pd.read_csv(path, dtype=str)
    assert read.columns.tolist() == ["guid", "tag"]
    assert read.guid.tolist() == ["0042", "7", "a,b"]
    assert read.tag.tolist() == ["positive", "negative", "neutral"]


def test_pairs_that_could_not_be_read_come_last_with_the_fallback(tmp_path):
    path = write_submission(
        tmp_path / "out.csv", list("abc"), SCORES, NAMES, "label", left_out=["x"], fallback=2
    )
    read = pd.read_csv(path)
    assert read.id.tolist() == ["a", "b", "c", "x"]
    assert read.label.tolist()[-1] == "positive"


def test_memes_have_probability_and_index(tmp_path):
    scores = np.array([[0.25, 0.75], [0.9, 0.1]])
    path = write_submission(tmp_path / "out.csv", ["1", "2"], scores, ["not hateful", "hateful"], "memes")
    read = pd.read_csv(path)
    assert read.columns.tolist() == ["id", "proba", "label"]
    assert read.proba.tolist() == pytest.approx([0.75, 0.1])
    assert read.label.tolist() == [1, 0]


def test_a_submission_is_read_back_as_a_label_file(tmp_path):
    from harness_data.pair_tables import read_table

    path = write_submission(tmp_path / "labels.csv", list("abc"), SCORES, NAMES)
    table = read_table(path, {})
    assert [(r.id, r.label) for r in table.rows] == [("a", "positive"), ("b", "negative"), ("c", "neutral")]


@pytest.mark.parametrize(
    ("ids", "scores", "layout", "error", "message"),
    [
        (list("abc"), SCORES, "tags", OptionError, "did you mean 'tag'"),
        (list("abc"), SCORES, "memes", OptionError, "two classes"),
        (list("ab"), SCORES, "tag", DataError, "2 ids"),
        (list("aab"), SCORES, "tag", DataError, "'a' occurs twice"),
        (list("abc"), SCORES * [[1], [np.nan], [1]], "tag", DataError, "'b'"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path, ids, scores, layout, error, message):
    with pytest.raises(error, match=message):
        write_submission(tmp_path / "out.csv", ids, scores, NAMES, layout)
    assert not list(tmp_path.iterdir())
