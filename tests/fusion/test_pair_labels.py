"""Which labels of pairs are classes: -1 and none where they look like one, and what is said of either."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_data.pair_labels import is_pair_label, list_pair_classes, settle_pair_labels
from harness_data.pair_tables import PairRow, PairTable
from harness_data.pairs import Pairs


def _pairs(folder, labels, name="labels.csv", **options):
    rows = [f"p{i},text {i},{label}" for i, label in enumerate(labels)]
    (folder / name).write_text("\n".join(["id,text,label", *rows]))
    return Pairs(folder, **options)


@pytest.mark.parametrize(("labels", "word"), [(["-1", "0", "1"], "-1"), (["none", "joy", "anger"], "none")])
def test_a_word_as_frequent_as_the_classes_is_one(tmp_path, labels, word):
    data = _pairs(tmp_path, labels * 20)
    split = data.load("all")
    assert split.class_names == sorted(labels, key=lambda n: int(n) if n != "none" and n[-1].isdigit() else n)
    assert np.bincount(split.targets).tolist() == [20, 20, 20]
    assert data.splits == ("all",)
    assert data.remarks == [
        f"20 of 60 rows are labelled '{word}', counted as a class; list the others in `classes` to leave them out"
    ]
    left = _pairs(tmp_path, labels * 20, classes=labels[1:])
    assert len(left.load("all")) == 40
    assert left.remarks == ["not used: 20 rows without a label (first: p0)"]
    assert len(_pairs(tmp_path, labels * 20, classes=labels).load("all")) == 60
    assert _pairs(tmp_path, labels * 20, classes=labels).remarks == []


def test_a_test_table_of_a_challenge_has_no_labels(tmp_path):
    _pairs(tmp_path, ["0", "1"] * 10, "train.csv")
    data = _pairs(tmp_path, ["-1"] * 7, "test.csv")
    assert data.splits == ("train", "unlabelled")
    assert data.load("train").class_names == ["0", "1"]
    assert data.remarks == [
        "7 of 7 rows are labelled '-1', taken as unlabelled; list it in `classes` to count it"
    ]


@pytest.mark.parametrize(
    ("word", "count", "others", "expected"),
    [
        ("-1", 5, {"0": 100, "1": 90}, False),
        ("-1", 900, {"0": 100, "1": 90}, False),
        ("-1", 30, {"1": 30}, True),
        ("-1", 30, {"positive": 30, "negative": 30}, False),
        ("-1", 30, {"0": 30, "joy": 30}, False),
        ("-1", 20, {str(i): 20 for i in range(10)}, True),
        ("-1", 50, {str(i): 20 for i in range(10)}, False),
        ("-1", 10, {"-2": 10, "0": 10, "1": 10, "2": 10}, True),
        ("none", 800, {"racism": 100, "sexism": 100}, True),
        ("none", 2, {"joy": 100, "anger": 90}, False),
        ("none", 30, {"0": 30, "1": 30}, False),
        ("none", 3, {}, False),
    ],
)
def test_the_rule(word, count, others, expected):
    assert is_pair_label(word, count, others) is expected


def test_numbers_with_gaps_are_whole_and_in_order(tmp_path):
    data = _pairs(tmp_path, ["10.0", "2.0", "", "NaN", "-3.0", "2"])
    assert data.load("all").class_names == ["-3", "2", "10"]
    assert data.load("unlabelled").ids == ["p2", "p3"]
    assert data.remarks == ["not used: 2 rows without a label (first: p2)"]
    assert _pairs(tmp_path, ["1.0", "2.0"], classes=["1.0", "2.0"]).load("all").class_names == ["1.0", "2.0"]


LABELS = st.sampled_from(["-1", "none", "None", "", "null", "0", "1", "2", "joy", "anger", "1.0", "NaN"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(LABELS, max_size=12), min_size=1, max_size=3))
def test_every_row_is_of_a_class_or_without_label_and_doubtful_ones_are_told(parts):
    tables = {
        f"s{k}": PairTable("t", [PairRow(f"{k}-{i}", n, "", None, "") for i, n in enumerate(labels)])
        for k, labels in enumerate(parts)
    }
    told = settle_pair_labels(tables, None)
    written = [name for labels in parts for name in labels]
    after = [row.label for table in tables.values() for row in table.rows]
    classes = {name.casefold() for name in list_pair_classes(tables, None)}
    doubtful = Counter(name.casefold() for name in written)
    for before, now in zip(written, after, strict=True):
        assert now is None or now.casefold() in classes
        if before.casefold() not in ("-1", "none", "", "null", "nan"):
            assert now == re.sub(r"\.0$", "", before)
    for word in ("-1", "none"):
        counts = [int(t.split()[0]) for t in told if f"'{word}'" in t]
        assert sum(counts) == doubtful[word]
    assert settle_pair_labels(tables, None) == [t for t in told if "as a class" in t]
