"""Capabilities of models that find objects and regions are registered by the package, in words."""

from __future__ import annotations

import pytest
import torch

from harness import capabilities, has
from harness.contract.capability import explain_missing_capability
from harness_dense import contracts
from harness_dense.contracts import Found


class Finder:
    class_names = ("cat",)

    def detect(self, images):
        return []


@pytest.mark.parametrize(
    ("capability", "says"),
    [
        (contracts.DetectsObjects, "does not detect objects"),
        (contracts.SegmentsImages, "does not segment images"),
        (contracts.LearnsToDetect, "does not learn to detect"),
        (contracts.LearnsToSegment, "does not learn to segment"),
    ],
)
def test_models_without_a_capability_are_told(capability: type, says: str) -> None:
    assert says in explain_missing_capability(object(), capability, "the protocol")


def test_models_have_what_they_implement() -> None:
    assert "detects objects" in capabilities(Finder())
    assert not has(Finder(), contracts.SegmentsImages)


def test_found_objects_are_counted() -> None:
    assert len(Found(torch.zeros(3, 4), torch.zeros(3), torch.zeros(3, dtype=torch.long))) == 3
