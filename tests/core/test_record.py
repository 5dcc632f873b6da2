"""Records as they are written and read back."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.record import Record, make_blank

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)
NUMBERS = st.dictionaries(st.text(), st.floats(), max_size=4)


def record(**changes: Any) -> Record:
    return Record(
        **{
            "id": "ab" * 10,
            "status": "ok",
            "suite": "s",
            "coordinates": {},
            "tags": {},
            "cell": {},
            **changes,
        }
    )


def same(a: Record, b: Record) -> bool:
    """Equal field by field, NaN equal to itself."""
    return repr(a) == repr(b)


@given(
    metrics=NUMBERS,
    cost=NUMBERS,
    notes=st.dictionaries(st.text(), JSON, max_size=3),
    tags=st.dictionaries(st.text(), JSON, max_size=3),
    reason=st.none() | st.text(),
    count=st.none() | st.integers(0, 2**40),
)
def test_round_trip(**fields: Any) -> None:
    written = record(**fields)
    assert same(Record.from_json(written.to_json(), "x"), written)


def test_what_is_not_finite_is_text_and_comes_back() -> None:
    metrics = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.1}
    text = record(metrics=metrics).to_json()
    assert json.loads(text)["metrics"] == {"a": "nan", "b": "inf", "c": "-inf", "d": 0.1}
    assert repr(Record.from_json(text, "x").metrics) == repr(metrics)


def test_numpy_numbers_and_odd_objects_are_written() -> None:
    import numpy as np

    written = record(
        notes={"n": np.float32(0.5), "i": np.int64(3), 4: {1}, "big": 2**70, "p": object},
        metrics={"m": np.float64(0.25)},
    )
    read = Record.from_json(written.to_json(), "x")
    assert (read.notes["n"], read.notes["i"], read.metrics["m"]) == (0.5, 3, 0.25)
    assert read.notes["big"] in (2**70, str(2**70), float(2**70))


def test_file_names_that_are_no_unicode_do_not_stop_the_record() -> None:
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    read = Record.from_json(record(status="failed", reason=f"{name}: damaged", traceback=name).to_json(), "x")
    assert read.reason is not None
    assert read.reason.startswith("caf")
    assert read.reason.endswith(".png: damaged")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"id": "a"}',
        b'{"id": "abababababab", "status": "ok", "coordinates": {}}',
        b'{"id": "abab", "status": "ok", "suite": "s", "coordinates": {}, "tags": {}, "cell": {}, "metrics": []}',
        b'{"id": "abab", "status": "ok", "suite": "s", "coordinates": {}, "tags": {}, "cell": {}, "metrics": {"a": "x"}}',
        b'{"id": "abab", "status": "ok", "suite": "s", "coordinates": {}, "tags": {}, "cell": {}, "schema": "x"}',
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_record_names_the_file(data: bytes) -> None:
    with pytest.raises(StoreError, match=r"^store/x.json: not a record: ") as caught:
        Record.from_json(data, "store/x.json")
    assert "\n" not in str(caught.value)


def test_newer_records_are_refused_and_unknown_fields_left_out() -> None:
    content = json.loads(record().to_json())
    assert same(Record.from_json(json.dumps({**content, "later": 1}).encode(), "x"), record())
    with pytest.raises(StoreError, match=r"x: written by a newer harness \(schema 99\); upgrade"):
        Record.from_json(json.dumps({**content, "schema": 99}).encode(), "x")


def test_a_blank_record_says_all_of_its_cell(toys: Any) -> None:
    suite = {
        "name": "s",
        "protocol": "toy",
        "models": ["toy?bias=0.1"],
        "datasets": ["toy"],
        "metrics": ["toy"],
        "seeds": [3],
    }
    (planned,) = make_plan(parse_suite(suite))
    made = make_blank(planned.cell, "skipped", "because")
    assert (made.id, made.status, made.reason, made.suite) == (planned.cell.id, "skipped", "because", "s")
    assert made.cell["model"]["options"] == {"mode": "good", "bias": 0.1, "checkpoint": None}
    assert made.cell["method"] is None
    assert made.cell["seed"] == 3
    assert made.cell["model"]["identity"]["distribution"] == "(this process)"
    assert same(Record.from_json(made.to_json(), "x"), made)
