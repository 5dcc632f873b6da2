"""Every first-party model passes the kit, the smallest of each, with random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference
from harness.testing import ModelConformance

VIT = {"plugin": "timm", "name": "test_vit", "pretrained": False, "num_classes": 5, "label_space": "five"}
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
SMALL: dict[str, Mapping[str, Any] | None] = {
    "alexnet-network": {},
    "chat-endpoint": None,  # it is a server's; held to the kit in tests/language, with one of its own
    "copy-last-shot": {},
    "cyclegan-resnet": {"width": 4, "blocks": 1, "patch_layers": 1},
    "cyclegan-unet": {"width": 4, "patch_layers": 1},
    "densenet-bc": {"depth": 10, "growth": 4},
    "densenet-network": {},
    "extractor-team": {"width": 0.25, "depth": 1, "hidden": 8},
    "fast-rcnn": {"width": 4, "most": 20},
    "fid-inception": None,  # its weights are a file; held to the kit in tests/gan, with made-up ones
    "gan-dcgan": {"width": 4, "latent": 4},
    "gan-mixed": {
        "generator": {"plugin": "gan-mlp", "hidden": 8},
        "discriminator": {"plugin": "gan-perceptron", "hidden": 8},
    },
    "gan-mlp": {"hidden": 8},
    "gan-perceptron": {"hidden": 8},
    "gan-resnet": {"width": 4, "latent": 4},
    "googlenet-network": {},
    "grid-detector": {"width": 4},
    "hf-chat": None,  # their weights are folders; held to the kit in tests/models, with made-up ones
    "hf-detector": None,
    "hf-image-text": None,
    "hf-segmenter": None,
    "hf-text": None,  # its weights are a folder; held to the kit in tests/fusion, with made-up ones
    "lenet5": {},
    "mlp": {"hidden": [8]},
    "nearest-shot": {"embedder": VIT},
    "ngram-plausibility": {"corpus": {"plugin": "scene-captions", "count": 4}},
    "open_clip": {"name": "small", "config": "{config}"},
    "pair": {"image": VIT, "text": {"plugin": "tiny-clip", "tower": "vit", "steps": 0}},
    "perceptron": {},
    "rcnn": {"width": 4, "most": 20},
    "resnet-network": {},
    "small-cnn": {"channels": [4]},
    "small-faster-rcnn": {"width": 4, "proposals": 10},
    "small-segmenter": {"width": 4},
    "smp-segmenter": {"encoder": "mobilenet_v2"},
    "timm": {k: v for k, v in VIT.items() if k != "plugin"},
    "timm-network": {"name": "test_resnet"},
    "tiny-blind": {"steps": 0},
    "tiny-clip": {"tower": "resnet", "steps": 0},
    "tiny-mllm": {"steps": 0},
    "tiny-resnet": {"trained_on": "digits", "width": 8, "steps": 0},
    "tiny-vit": {"trained_on": "digits", "width": 32, "steps": 2},
    "torchvision": {"name": "shufflenet_v2_x0_5", "weights": "none"},
    "torchvision-detector": {"name": "ssdlite320_mobilenet_v3_large", "weights": "none"},
    "torchvision-segmenter": {"name": "lraspp_mobilenet_v3_large", "weights": "none"},
    "torchvision-network": {"name": "shufflenet_v2_x0_5"},
    "vgg-network": {"depth": 11},
    "wide-resnet": {"depth": 10, "width": 1},
}


def test_none_is_left_out() -> None:
    own = {p.name for p in registry.installed("models") if p.distribution == "vision-harness"}
    assert own == set(SMALL)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.json"
    path.write_text(json.dumps(CLIP))
    return path


class TestFirstParty(ModelConformance):
    @pytest.fixture(params=[name for name, options in SMALL.items() if options is not None])
    def model(self, request: pytest.FixtureRequest, config: Path) -> Any:
        options = {k: config if v == "{config}" else v for k, v in (SMALL[request.param] or {}).items()}
        part = Resolver().resolve("models", Reference(request.param, options), "kit")
        assert part.problem is None, part.problem
        assert part.missing is None, part.missing
        return part.object
