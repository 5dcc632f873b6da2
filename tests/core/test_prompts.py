"""What is told of prompts: those that were cut, and classes with the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.errors import OptionError
from harness.inference.prompts import describe_prompts, prompt_facts
from harness.inference.zeroshot import check_templates, encode_prompts, prompts_of, text_classifier


class Reader:
    """Reads the first few letters, in lower case; each letter in its place has a vector of its own."""

    logit_scale = 1.0

    def __init__(self, context_length: int = 8, counts: bool = True) -> None:
        self.context_length = context_length
        if not counts:
            self.token_counts = None  # type: ignore[assignment]

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        out = torch.zeros(len(texts), 64)
        for row, text in zip(out, texts, strict=True):
            for place, letter in enumerate(text.lower()[: self.context_length]):
                draw = np.random.default_rng([place, ord(letter)])
                row += torch.from_numpy(draw.normal(size=64)).float()
        return out + 1e-3


def told(model: Reader, names: Sequence[str], templates: Sequence[str] = ("{}",)) -> list[str]:
    texts = prompts_of(names, templates)
    facts = prompt_facts(model, texts, encode_prompts(model, texts).numpy())
    return describe_prompts(model, names, templates, facts)


def test_nothing_is_said_where_all_is_well() -> None:
    assert told(Reader(), ["red", "green", "blue"], ["{}", "a {}"]) == []


def test_prompts_that_are_cut_are_counted() -> None:
    names = ["very long red", "very long green", "blue", "long enough"]
    assert told(Reader(), names) == [
        "3 of 4 prompts are longer than the 8 tokens the model reads and were cut; 2 of them are alike then",
        "classes 'very long red' and 'very long green' have the same prompt for the model: the later can't be predicted",
    ]
    assert told(Reader(counts=False), names)[0].startswith("classes 'very long red'")
    assert told(Reader(), ["short", "somewhat longer"]) == [
        "1 of 2 prompts is longer than the 8 tokens the model reads and was cut"
    ]


def test_names_that_differ_in_case_alone_are_told() -> None:
    assert told(Reader(), ["Red", "red", "green"], ["a {}", "{}"]) == [
        "classes 'Red' and 'red' have the same prompts for the model: the later can't be predicted"
    ]
    many = [name for n in range(5) for name in (f"a{n}", f"A{n}", f"a{n}")]
    *named, rest = told(Reader(), many)
    assert [len(named), rest] == [3, "2 more groups of classes have the same prompt for the model"]
    assert "and 1 more, have the same prompt for the model: only the first can be predicted" in named[0]


@given(
    st.lists(st.text("abAB", min_size=1, max_size=5), min_size=2, max_size=8),
    st.integers(1, 5),
    st.booleans(),
)
def test_classes_that_can_never_be_predicted_are_told(names: list[str], context: int, counts: bool) -> None:
    """The classifier's rows are compared by themselves: equal ones mean that only the first is predicted."""
    model = Reader(context, counts)
    weights = text_classifier(model, names, ["{}"])
    twins = {n for n in range(len(names)) for m in range(n) if bool((weights[n] - weights[m]).norm() < 1e-4)}
    said = told(model, names)
    assert bool(twins) == any("have the same prompt" in text for text in said)
    cut = {name for name in names if len(name) > context}
    assert (counts and bool(cut)) == any("and were cut" in t or "and was cut" in t for t in said)
    if counts and cut:
        assert said[0].startswith(f"{len(cut)} of {len(set(names))} prompts")


def test_a_record_and_its_table_tell_it_whether_computed_or_kept(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "three.npz"
    np.savez(file, images=np.zeros((6, 8, 8, 3), np.uint8), labels=np.arange(6) % 3)
    for protocol, more in (("classification", {}), ("few-shot", {"methods": ["template"]})):
        suite = {
            "name": "s", "protocol": protocol, "models": [{"plugin": "tiny-clip", "steps": 0, "label": "M"}], "metrics": ["top1"],
            "datasets": [{"plugin": "arrays", "path": str(file), "label": "D", "class_names": ["Red", "red", "very " * 40]}],
            **more,
        }  # fmt: skip
        for store in ("a", "b"):  # the second finds the classifier in the cache
            outcome = harness.run(suite, store=tmp_path / store / protocol, device="cpu")
            (record,) = outcome.records
            assert record.status == "ok", record.reason
            own = [t for t in record.remarks if t.startswith("M on D: ")]
            assert own == [
                "M on D: 1 of 3 prompts is longer than the 32 tokens the model reads and was cut",
                "M on D: classes 'Red' and 'red' have the same prompt for the model: the later can't be predicted",
            ]
            assert set(own) <= set(outcome.tables()[0].footnotes)


def test_names_that_are_numbers_or_codes_are_told() -> None:
    for names in (["0", "1", "2"], ["n01440764", "n01443537"], ["00001", "00002"], ["class_1", "class_2"]):
        (text,) = told(Reader(99), names, ["a {}"])
        assert text.startswith(f"class names are numbers or codes ('{names[0]}', '{names[1]}', …)")
    for names in (
        [str(n) for n in range(10)],
        ["7", "seven"],
        ["Boeing 737", "Boeing 747"],
        ["n01440764"],
        ["1920s", "1930s"],
    ):
        assert told(Reader(99), names, ["a {}"]) == []


def test_doubled_braces_are_refused() -> None:
    with pytest.raises(OptionError, match=r"has '\{\{'"):
        check_templates(["a photo of a {{}}"])
