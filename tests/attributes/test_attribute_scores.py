"""Direct and indirect attribute prediction: closed forms, and brute force over products and sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from harness_attributes.attribute_scores import measure_priors, mix_attributes, score_by_attributes


def test_direct_prediction_of_two_classes():
    """Attributes with p = (.9, .2), classes 10 and 01: .9·.8 against .1·.2."""
    p = np.array([[0.9, 0.2]])
    scores = score_by_attributes(np.log(p), np.log(1 - p), np.array([[1.0, 0], [0, 1]]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(np.exp(scores), [[0.9 * 0.8 * 4, 0.1 * 0.2 * 4]])
    assert softmax(scores, axis=1)[0, 0] == pytest.approx(0.973, abs=5e-4)


def test_indirect_attributes_of_two_classes():
    """Classes with p = (.7, .3) and attributes 11 and 01: the first has .7, the second 1."""
    present, absent = mix_attributes(np.log([[0.7, 0.3]]), np.array([[1.0, 1], [0, 1]]))
    np.testing.assert_allclose(np.exp(present), [[0.7, 1]])
    np.testing.assert_allclose(np.exp(absent), [[0.3, 0]], atol=1e-15)


def test_an_attribute_that_a_class_does_not_state_is_no_factor():
    p = np.array([[0.9, 0.2]])
    scores = score_by_attributes(
        np.log(p), np.log(1 - p), np.array([[1.0, np.nan], [1, 0]]), np.array([0.5, 0.25])
    )
    np.testing.assert_allclose(np.exp(scores), [[0.9 / 0.5, 0.9 / 0.5 * 0.8 / 0.75]])
    # a class that does not state it does not count for its mean, nor for its prior
    present, _ = mix_attributes(np.log([[0.6, 0.3, 0.1]]), np.array([[np.nan], [1], [0]]))
    np.testing.assert_allclose(np.exp(present), [[0.75]])
    np.testing.assert_allclose(
        measure_priors(np.array([[np.nan, np.nan], [1, np.nan], [0, np.nan]])), [0.5, np.nan]
    )


@st.composite
def drawn_tables(draw):
    images, classes, attributes = (draw(st.integers(1, 5)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    table = rng.choice([0.0, 1.0, np.nan], (classes, attributes), p=[0.4, 0.4, 0.2])
    return rng, images, table


@settings(max_examples=60, deadline=None)
@given(drawn_tables())
def test_scores_are_the_products(drawn):
    rng, images, table = drawn
    p = rng.uniform(0.01, 0.99, (images, table.shape[1]))
    priors = rng.uniform(0.1, 0.9, table.shape[1])
    found = np.exp(score_by_attributes(np.log(p), np.log1p(-p), table, priors))
    for n in range(images):
        for c, row in enumerate(table):
            product = 1.0
            for m, value in enumerate(row):
                if value == 1:
                    product *= p[n, m] / priors[m]
                elif value == 0:
                    product *= (1 - p[n, m]) / (1 - priors[m])
            assert found[n, c] == pytest.approx(product)


@settings(max_examples=60, deadline=None)
@given(drawn_tables())
def test_attributes_are_the_sums(drawn):
    rng, images, table = drawn
    classes = rng.dirichlet(np.ones(len(table)), images)
    stated = table[:, (~np.isnan(table)).any(axis=0)]
    present, absent = mix_attributes(np.log(classes), stated)
    for n in range(images):
        for m, column in enumerate(stated.T):
            known = sum(p for p, value in zip(classes[n], column) if value in (0, 1))
            having = sum(p for p, value in zip(classes[n], column) if value == 1)
            assert np.exp(present[n, m]) == pytest.approx(having / known)
            assert np.exp(absent[n, m]) == pytest.approx(1 - having / known, abs=1e-12)
