"""The FID's Inception: safe loading, its features against torchvision's blocks, and what may be called FID."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.models import inception, inception_v3

from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference, parse_references
from harness.errors import OptionError, Unavailable
from harness.testing import ModelConformance
from harness_gan.judging import Extractor, name_extractor
from harness_generative import inception as fid_inception
from harness_generative.generated_samples import GeneratedSamples
from harness_generative.inception import FIDInception
from harness_generative.metrics import FrechetDistance

pytest.importorskip("torch_fidelity")


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """torchvision's Inception with as many outputs as the FID's; the weights have the same names."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return inception_v3(num_classes=1008, aux_logits=False, init_weights=False).eval()


@pytest.fixture(scope="module")
def weights(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("fid") / "random.pth"
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


def images(n: int, side: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(n)]


class TestInTheKit(ModelConformance):
    # The original network resizes by itself, in a way of its own, so `prepare` keeps an image's size. What it
    # sees in the suites is of one size; the kit's images of many sizes can't be stacked.
    test_odd_images = None

    @pytest.fixture
    def model(self, weights: Path) -> FIDInception:
        return FIDInception(weights)

    @pytest.fixture
    def images(self) -> list[Image.Image]:
        """Of one size: the network itself resizes, so what `prepare` gives keeps the image's own."""
        return images(4, 40)


def test_features_are_those_of_the_original_network(
    network: torch.nn.Module, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It differs from torchvision's by average pools that leave the border out, and a maximum in the last block."""
    model = FIDInception(weights)
    model.load(torch.device("cpu"))
    batch = torch.stack([model.prepare(image) for image in images(2, 299)])
    ours = model.encode_image(batch)
    assert ours.shape == (2, 2048)

    last = False

    def average(x: torch.Tensor, **options: Any) -> torch.Tensor:
        return F.max_pool2d(x, 3, 1, 1) if last else F.avg_pool2d(x, **options, count_include_pad=False)

    def enter(*_: Any) -> None:
        nonlocal last
        last = True

    functions = {**vars(F), "avg_pool2d": average}
    monkeypatch.setattr(inception, "F", SimpleNamespace(**functions))
    pooled: list[torch.Tensor] = []
    handles = [
        network.Mixed_7c.register_forward_pre_hook(enter),
        network.avgpool.register_forward_hook(lambda _m, _i, out: pooled.append(out.flatten(1))),
    ]
    with torch.no_grad():
        network((batch - 128) / 128)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(ours, pooled[0], rtol=1e-3, atol=1e-4)


def test_only_the_original_weights_are_called_fid(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = FIDInception(weights)
    assert not model.is_fid
    part = Resolver().resolve("models", Reference("fid-inception", {"checkpoint": str(weights)}), "test")
    assert name_extractor(model, part).startswith("inception-2015-12-05 sha256:")
    rng = np.random.default_rng(1)
    fake, train, test = (rng.normal(size=(20, 3)) for _ in range(3))
    for is_fid in (False, True):
        found = FrechetDistance()(GeneratedSamples(fake, train, test, model.shown, is_fid=is_fid))
        assert any(name.startswith("FID ") for name in found) == is_fid
        assert "floor" in found
    monkeypatch.setattr(fid_inception, "DIGEST", model.fingerprint().removeprefix("sha256:")[:8])
    assert model.is_fid
    assert Extractor(model, model.shown, torch.device("cpu")).is_fid
    assert model.shown == "inception-2015-12-05"


def test_the_file_published_as_the_fids_is_known_by_its_name() -> None:
    """Its publishers put the first digits of its SHA-256 into its name."""
    assert fid_inception.FILE.endswith(f"-{fid_inception.DIGEST}.pth")


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("never",))


def test_files_that_are_no_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = FIDInception(tmp_path / "none.pth")
    assert "none.pth is not a file" in (missing.unavailable() or "")
    with pytest.raises(Unavailable):
        missing.load(torch.device("cpu"))
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"fc.bias": Evil()}, protocol=2))
    with pytest.raises(OptionError, match="plain weights"):
        FIDInception(tmp_path / "evil.pth").load(torch.device("cpu"))
    assert "never" not in capsys.readouterr().out
    torch.save({"fc.bias": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(OptionError, match="does not fit the architecture"):
        FIDInception(tmp_path / "other.pth").load(torch.device("cpu"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("timm:resnet18", "timm:resnet18"),
        ({"plugin": "timm", "name": "resnet18", "pretrained": False}, "timm:resnet18"),
        ({"plugin": "torchvision:inception_v3", "checkpoint": "x.pth"}, "torchvision:inception_v3"),
        ({"plugin": "timm", "name": "resnet18", "label": "DINO"}, "DINO"),
        ({"plugin": "tiny-vit", "steps": 0}, "tiny-vit"),
    ],
)
def test_extractors_are_named_as_the_suite_file_names_them(given: Any, expected: str) -> None:
    part = Resolver().resolve("models", parse_references(given, "test")[0], "test")
    assert name_extractor(object(), part) == expected


def test_its_weights_are_found_in_a_wrapping_and_told(network: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {f"module.{n}": v for n, v in network.state_dict().items()}}, tmp_path / "w.pth"
    )
    model = FIDInception(tmp_path / "w.pth")
    model.load(torch.device("cpu"))
    assert model.remarks == ("the weights under 'state_dict' were taken",)
    assert torch.equal(model.module.state_dict()["fc.bias"], network.state_dict()["fc.bias"])
