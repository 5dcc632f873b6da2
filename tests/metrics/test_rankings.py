"""The evidence of rankings: kept whole, put in any order, and refused where it contradicts itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError
from harness_metrics.rankings import ARRAYS, Rankings


def rankings(**changed: Any) -> Rankings:
    """Two queries over ten candidates: positives second, and in a tie of three after five; and first."""
    columns: dict[str, Any] = {
        "ids": ["a", "b"],
        "groups": ["i", "i"],
        "gallery": 10,
        "offsets": [0, 2, 3],
        "before": [1, 5, 0],
        "level": [1, 3, 1],
        "relevant": [1, 2, 1],
    }
    return Rankings(**{**columns, **changed})


def as_lists(found: Rankings) -> list[Any]:
    arrays = [getattr(found, name).tolist() for name in ARRAYS]
    occurrences = None if found.occurrences is None else found.occurrences.tolist()
    return [found.ids, found.groups, found.gallery, found.depth, occurrences, *arrays]


@given(st.floats(0, 1), st.integers(0, 99))
def test_packed_and_unpacked_it_is_the_same(quality: float, seed: int) -> None:
    whole = Rankings.example(quality, seed)
    assert as_lists(Rankings.unpack(whole.pack())) == as_lists(whole)
    assert as_lists(Rankings.unpack(rankings().pack())) == as_lists(rankings())


def test_it_is_kept_with_a_record(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from harness.records.evidence_files import read_header, write_evidence

    record: Any = SimpleNamespace(id="r", provenance={"started": "now"}, cell={})
    for name, one in {"counted": Rankings.example(0.3, 1), "not counted": rankings()}.items():
        write_evidence(tmp_path / name, record, {"": one})
        header = read_header(tmp_path / name)
        assert header is not None
        assert header.missing is None
        assert as_lists(header.read([Rankings])[""]) == as_lists(one)


def test_shuffled_queries_keep_their_levels() -> None:
    def by_query(found: Rankings) -> dict[str, Any]:
        return {
            i: [getattr(found, name)[found.offsets[n] : found.offsets[n + 1]].tolist() for name in ARRAYS[1:]]
            for n, i in enumerate(found.ids)
        }

    whole = rankings()
    shuffled = whole.shuffled(3)
    assert shuffled.ids == ("b", "a")
    assert by_query(shuffled) == by_query(whole)


def test_its_facts_by_query() -> None:
    whole = rankings()
    assert whole.positives.tolist() == [3, 1]
    assert whole.first_rank.tolist() == [2, 1]
    # of two positives in a tie of three, the first is first in two orders of three: 2/3·1 + 1/3·2
    tied = rankings(ids=["a"], groups=["i"], offsets=[0, 1], before=[5], level=[3], relevant=[2])
    assert tied.first_rank == pytest.approx(5 + 4 / 3)


def test_no_metric_can_change_it() -> None:
    given = np.array([1, 5, 0])
    whole = rankings(before=given)
    given[0] = 7
    assert whole.before[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        whole.before[0] = 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"groups": ["i"]}, "1 groups for 2 ids"),
        ({"ids": ["a", "a"]}, "two queries have the id 'a'"),
        ({"offsets": [0, 3]}, r"offsets of shape \(2,\) for 2 queries"),
        ({"offsets": [0, 2, 4]}, r"shapes \(3,\), \(3,\), \(3,\), offsets go from 0 to 4"),
        ({"level": [1, 3]}, r"shapes \(3,\), \(2,\), \(3,\)"),
        ({"offsets": [0, 3, 3]}, "query 'b' has no positive among the candidates"),
        ({"relevant": [1, 4, 1]}, "query 'a' has 4 positives in a block of 3 after 5 candidates, of 10 in all"),
        ({"relevant": [0, 2, 1]}, "query 'a' has 0 positives in a block of 1"),
        ({"before": [1, 8, 0]}, "query 'a' has 2 positives in a block of 3 after 8 candidates, of 10"),
        ({"before": [1, 5, -1]}, "query 'b' has 1 positives in a block of 1 after -1 candidates"),
        ({"before": [6, 5, 0]}, "query 'a' has a block from rank 6 after one that ends at rank 7"),
        ({"occurrences": [1] * 10, "depth": 3}, "count 10; the first 3 of 10 candidates of 2 queries are 6"),
        ({"occurrences": [1] * 6, "depth": 3}, r"occurrences of shape \(6,\) count 6"),
        ({"occurrences": [3, 3] + [0] * 8, "depth": 3}, "count 6"),
        ({"occurrences": [2, 1] + [0] * 8}, "first 0 of 10"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rankings(**changed)
