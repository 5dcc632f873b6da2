"""What segmenters are said to be able to, and that those that only segment conform."""

from __future__ import annotations

import pytest

from harness import capabilities
from harness.contract.capability import capability_wording
from harness.discovery import registry
from harness.planning.descriptions import describe_plugin
from harness.testing.kinds import check
from harness_networks.contracts import BuildsNetworks
from harness_segmenters.small_segmenter import SmallSegmenter
from harness_segmenters.smp_segmenter import SmpSegmenter
from harness_segmenters.torchvision_segmenter import TorchvisionSegmenter
from tests.segmentation.conftest import Colours


def test_a_segmenter_that_does_not_learn_conforms() -> None:
    """The smallest grid of the protocol trains, and it could not be in that."""
    (found,) = [one for one in check("models", Colours()) if one.check == "capabilities"]
    assert found.status == "holds", found.message


@pytest.mark.parametrize("kind", [SmallSegmenter, SmpSegmenter, TorchvisionSegmenter])
def test_segmenters_claim_nothing_else(kind: type) -> None:
    """Detectors learn by methods of the same names, and builders of networks build."""
    assert capability_wording(BuildsNetworks) == "builds networks to train"
    assert set(capabilities(kind)) == {"exposes its module", "segments images", "learns to segment"}


def test_info_knows_capabilities_of_packages() -> None:
    assert "segments images" in describe_plugin(registry.find("models", "small-segmenter"))["capabilities"]
