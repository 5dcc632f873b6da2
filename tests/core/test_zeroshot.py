"""Zero-shot classifiers from class names and templates."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from harness.zeroshot import fill_template, text_classifier

NAMES, TEMPLATES = ["cat", "dog", "cat"], ["a {}.", "{c} here", "nothing"]


class Texts:
    """Each text has its own fixed random vector; remembers what it was asked."""

    logit_scale = 1.0

    def __init__(self) -> None:
        self.asked: list[str] = []

    def vector(self, text: str) -> torch.Tensor:
        return torch.from_numpy(np.random.default_rng(list(text.encode())).normal(size=8)) * len(text)

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        self.asked += texts
        return torch.stack([self.vector(t) for t in texts])


def test_it_is_the_normalised_mean_of_normalised_embeddings() -> None:
    model = Texts()
    got = text_classifier(model, NAMES, TEMPLATES)
    for row, name in zip(got, NAMES, strict=True):
        vectors = [
            model.vector(t.replace("{c}", name).replace("{}", name)).float().numpy() for t in TEMPLATES
        ]
        mean = np.mean([v / np.linalg.norm(v) for v in vectors], axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
    torch.testing.assert_close(got[0], got[2], rtol=0, atol=0)
    assert not got.requires_grad


def test_each_text_is_encoded_once() -> None:
    model = Texts()
    text_classifier(model, NAMES, TEMPLATES)
    assert len(model.asked) == len(set(model.asked)) == 5


def test_the_order_of_templates_is_of_no_account() -> None:
    a, b = (text_classifier(Texts(), NAMES, t) for t in (TEMPLATES, TEMPLATES[::-1]))
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("template", "text"),
    [("a {}.", "a {x}."), ("a {c}.", "a {x}."), ("a {0} {d}", "a {0} {d}"), ("{}{}", "{x}{x}")],
)
def test_templates(template: str, text: str) -> None:
    assert fill_template(template, "{x}") == text
