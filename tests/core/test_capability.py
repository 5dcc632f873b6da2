"""Capabilities: any protocol, registered or not; what planning says of a model that lacks one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import pytest

import harness
from harness import ClassifiesImages, CountsTokens, EncodesImages, EncodesTexts, HasModule, capabilities, has
from harness.contract import capability
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite


@runtime_checkable
class DetectsObjects(Protocol):
    """Gives boxes."""

    threshold: float

    def detect(self, images: Any) -> Any: ...


class Detector:
    threshold: float

    def load(self, device: object) -> None: ...

    def detect(self, images: Any) -> Any: ...


class Untrained(Detector):
    lacks = (DetectsObjects,)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    others = {
        w: one for w, one in capability.REGISTERED.items() if w != "detects objects"
    }  # harness_dense has it
    monkeypatch.setattr(capability, "REGISTERED", others)
    harness.register_capability("detects objects", choose="acme-detector")(DetectsObjects)


def test_any_protocol_is_asked_without_loading() -> None:
    assert has(Detector, DetectsObjects)  # `threshold` is an annotation only
    assert has(Detector(), DetectsObjects)
    assert not has(Untrained(), DetectsObjects)
    assert has(Untrained, DetectsObjects)  # what an object lacks hangs on its options
    assert not has(object(), DetectsObjects)
    assert not has(Detector(), CountsTokens)


def test_words_are_registered_or_made_of_the_name(registered: None) -> None:
    assert capability.capability_wording(DetectsObjects) == "detects objects"
    assert capability.capability_wording(CountsTokens) == "counts tokens"
    assert capabilities(Detector()) == ["detects objects"]
    assert capabilities(Untrained()) == []


def test_words_belong_to_one_protocol(registered: None) -> None:
    with pytest.raises(harness.HarnessError, match=r"'detects objects' is .*DetectsObjects already: choose"):
        harness.register_capability("detects objects")(CountsTokens)
    harness.register_capability("detects objects")(DetectsObjects)  # a module that is imported again


def test_the_cores_words_and_order_stay() -> None:
    own = [
        w for w, protocol in capability.REGISTERED.items() if protocol.__module__ == "harness.contract.models"
    ]
    assert own == [
        "classifies images", "encodes images", "encodes texts", "gives image tokens", "gives text tokens",
        "exposes its module",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (ClassifiesImages, "the model does not classify images, which it needs"),
        (EncodesImages, "the model does not encode images, which it needs: choose one that does, such as tiny-clip"),
        (HasModule, "the model does not expose its module, which it needs"),
        (DetectsObjects, "the model does not detect objects, which it needs"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_model_that_lacks_it(protocol: type, said: str) -> None:
    assert capability.explain_missing_capability(object(), protocol, "it").startswith(said)


def test_the_models_own_reason_is_said() -> None:
    class Pair:
        lacks = {"encodes texts": "its spaces differ", DetectsObjects: "it sees no places"}  # noqa: RUF012

    assert "does not encode texts (its spaces differ), which" in capability.explain_missing_capability(
        Pair(), EncodesTexts, "it"
    )
    assert "does not detect objects (it sees no places), which" in capability.explain_missing_capability(
        Pair(), DetectsObjects, "it"
    )


def reasons(**change: Any) -> list[str | None]:
    content = {
        "name": "s",
        "protocol": "needs",
        "models": ["toy"],
        "datasets": ["toy"],
        "metrics": [],
        **change,
    }
    return [planned.reason for planned in make_plan(parse_suite(content))]


def test_planning_skips_models_that_lack_what_protocol_or_method_needs(toys: Any, registered: None) -> None:
    class Needs(toys.Protocol):
        needs = (DetectsObjects,)

    class Names:
        needs = (EncodesTexts,)

        def fit(self) -> None: ...

    harness.register("protocols", "needs", Needs)
    harness.register("models", "detector", Detector)
    harness.register("methods", "names", Names)
    assert reasons(models=["detector"]) == [None]
    assert reasons() == [
        "the model 'toy' does not detect objects, which the protocol 'needs' needs: choose one that does, such "
        "as acme-detector"
    ]
    (said,) = reasons(models=["detector"], methods=["names"])
    assert said is not None
    assert said.startswith("the model 'detector' does not encode texts, which the method 'names' needs")
