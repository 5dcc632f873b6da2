"""Numbers are read to their last digit, and written back as the file has them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_importers.numbers import is_higher_better, parse_number, to_fraction


@given(st.decimals(0, 100, places=3))
def test_a_percentage_comes_back_from_its_fraction(percent):
    assert Decimal(repr(to_fraction(percent))).scaleb(2) == percent


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_comes_back(number):
    assert float(parse_number(repr(number))) == number


@given(st.integers(0, 10**12), st.integers(0, 999))
def test_thousands_and_a_decimal_comma(whole, rest):
    english = f"{whole:,}.{rest:03d}"
    german = english.translate(str.maketrans(",.", ".,"))
    expected = Decimal(f"{whole}.{rest:03d}")
    assert parse_number(english, thousands=",") == expected
    assert parse_number(german, ",", ".") == expected


@pytest.mark.parametrize(
    "text", ["1 2", "0x10", "1_000", "१२", "1,5", "--1", "1e", "e5", ".", "+", "1.2.3", "5 %", "NaN1"]
)
def test_what_is_no_number(text):
    with pytest.raises(ValueError, match="expected a number, found"):
        parse_number(text)


@pytest.mark.parametrize("text", ["1,23,456", "1,2345", ",123", "12,34.5"])
def test_thousands_that_are_none(text):
    with pytest.raises(ValueError, match="between thousands"):
        parse_number(text, thousands=",")


@pytest.mark.parametrize("text", ["", " ", "-", "—", "N/A", "null", "None"])
def test_what_stands_for_none(text):
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("metric", "higher"),
    [("top1", True), ("acc_norm", True), ("accuracy", True), ("f1", True), ("rouge1", True), ("bleu", True), ("wer", False),
     ("eval_loss", False), ("word_perplexity", False), ("bits_per_byte", False), ("mce", False), ("fid", False), ("zorp", None),
     ("mme_cognition_score", True), ("image_retrieval_recall@5", True), ("top1_err", False), ("cos_sim_spearman", True)],
)  # fmt: skip
def test_directions_by_name(metric, higher):
    assert is_higher_better(metric) is higher
