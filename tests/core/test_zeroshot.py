"""Zero-shot classifiers from class names and templates."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.errors import DataError, OptionError
from harness.inference.zeroshot import (
    check_templates,
    encode_prompts,
    fill_template,
    prompt_grid,
    prompts_of,
    similarity_of,
    templates_of,
    text_classifier,
    zero_shot_logits,
)

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


def test_dot_products_take_embeddings_as_they_are() -> None:
    model = Texts()
    model.similarity = "dot"  # type: ignore[attr-defined]
    weights = text_classifier(model, NAMES, TEMPLATES)
    each = every_prompt(Texts())
    torch.testing.assert_close(weights, each.mean(dim=1))
    images = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(zero_shot_logits(model, images, weights, 2.0), 2 * images @ weights.T)
    cosine = zero_shot_logits(Texts(), images, text_classifier(Texts(), NAMES, TEMPLATES), 2.0)
    torch.testing.assert_close(cosine, zero_shot_logits(Texts(), 7 * images, cosine_weights(), 2.0))


def every_prompt(model: Texts) -> torch.Tensor:
    return prompt_grid(encode_prompts(model, prompts_of(NAMES, TEMPLATES)), NAMES, TEMPLATES)


def cosine_weights() -> torch.Tensor:
    return text_classifier(Texts(), NAMES, TEMPLATES)


def test_a_models_own_scores_are_averaged_over_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scores(Texts):
        def score(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
            return -torch.cdist(images, texts)

    monkeypatch.setattr("harness.inference.zeroshot.ROWS_AT_ONCE", 2)
    each = every_prompt(Scores())
    images = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    wanted = torch.stack([-torch.cdist(images, each[:, t]) for t in range(3)]).mean(dim=0)
    torch.testing.assert_close(zero_shot_logits(Scores(), images, each, 9.0), wanted)
    with pytest.raises(OptionError, match="scores images and texts itself"):
        text_classifier(Scores(), NAMES, TEMPLATES)


def test_an_unknown_similarity_is_refused() -> None:
    model = Texts()
    model.similarity = "cosin"  # type: ignore[attr-defined]
    with pytest.raises(OptionError, match="did you mean 'cosine'"):
        similarity_of(model)


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


@pytest.mark.parametrize(
    ("written", "foreign"),
    [
        ("a photo of a {class}.", "{class}"), ("a {label}", "{label}"), ("{0}", "{0}"), ("a %s.", "%s"),
        ("%(name)s", "%(name)s"), ("<class>", "<class>"), ("a [CLASS]", "[CLASS]"), ("a ${name}", "${name}"),
        ("a CLASSNAME here", "CLASSNAME"), ("a { }", "{ }"),
    ],
)  # fmt: skip
def test_a_place_written_otherwise_is_refused_with_the_right_form(written: str, foreign: str) -> None:
    with pytest.raises(OptionError) as error:
        check_templates(["a {}.", written])
    assert f"'{foreign}' is written {{}}" in str(error.value)


def test_templates_without_a_place_or_with_a_second_one_are_refused() -> None:
    for templates in (["a photo of a thing"], [""], ["{}", "thing"]):
        with pytest.raises(OptionError, match=r"has no place \{\} for the class name, as in"):
            check_templates(templates)
    with pytest.raises(OptionError, match="at least one template"):
        check_templates([])
    with pytest.raises(OptionError, match=r"'\{style\}', which nothing fills"):
        check_templates(["a {style} of a {}"])
    assert check_templates(["{} and {}", "{c}, 100% {} <3 $5"]) == ["{} and {}", "{}, 100% {} <3 $5"]


def test_a_protocol_refuses_them_at_planning() -> None:
    suite = {"name": "s", "models": ["tiny-clip"], "datasets": ["digits"], "metrics": ["top1"]}
    for template in ("a thing", "a {class}", "%s"):
        for protocol in ("classification", "finetuning"):
            option = {"plugin": protocol, "templates": ["{}", template]}
            with pytest.raises(OptionError, match=r"no place \{\} for the class name"):
                harness.plan(
                    {**suite, "protocol": option | ({"steps": 1} if protocol == "finetuning" else {})}
                )


def test_a_data_set_s_own_templates_are_checked_too() -> None:
    class Split:
        templates = ("a {c}", "a thing")

    with pytest.raises(DataError, match="pets, templates: 'a thing' has no place"):
        templates_of(Split(), "pets")
    assert templates_of(object(), "pets") == ["a photo of a {}."]


@given(st.lists(st.text(), min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_two_names_never_share_a_prompt_of_a_checked_template(
    templates: list[str], one: str, other: str
) -> None:
    """Whatever is written: it is refused, or every class has prompts of its own."""
    try:
        found = check_templates(templates)
    except OptionError:
        assert any("{}" not in t.replace("{c}", "{}") or "{" in t for t in templates)
        return
    for template in found:
        assert (fill_template(template, one) == fill_template(template, other)) == (one == other)
