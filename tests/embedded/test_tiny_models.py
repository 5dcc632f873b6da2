"""The tiny models: trained once, kept, the same again; the caller's random state left alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from harness.contract.capability import capabilities
from harness.errors import OptionError
from harness_embedded import drawing, training_mixture
from harness_embedded.digits import Digits
from harness_embedded.scenes import Scenes
from harness_embedded.tiny_models import TinyCLIP, TinyResNet, TinyViT

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(drawing.PER_CLASS, "train", 20)
        patch.setattr(training_mixture, "WIDE_PER_CLASS", 20)
        yield


def some(make):
    return make(steps=3)


def outputs(model) -> torch.Tensor:
    images = torch.stack([model.prepare(Image.fromarray(Scenes().load("test")[i].image)) for i in range(6)])
    with torch.inference_mode():
        return model.classify(images) if hasattr(model, "classify") else model.encode_image(images)


@pytest.mark.parametrize("make", [TinyViT, TinyResNet, TinyCLIP])
def test_trained_once_then_read_bit_for_bit(make, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    threads, states = (
        torch.get_num_threads(),
        (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()),  # noqa: NPY002
    )
    first = some(make)
    first.load(CPU)
    assert "training" in caplog.text
    caplog.clear()
    second = some(make)
    second.load(CPU)
    assert "training" not in caplog.text
    assert torch.equal(outputs(first), outputs(second))
    assert not first.module.training
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert random.getstate() == states[2]


@pytest.mark.parametrize("make", [TinyViT, TinyResNet, TinyCLIP])
def test_a_torn_file_is_replaced_by_the_same_weights(make, caplog: pytest.LogCaptureFixture):
    first = some(make)
    first.load(CPU)
    file = first.cached_file
    whole = file.read_bytes()
    for torn in (whole[:1000], b"", str(make(steps=3).cached_file).encode()):
        file.write_bytes(torn)
        caplog.clear()
        again = some(make)
        again.load(CPU)
        assert "can't be used" in caplog.text
        assert torch.equal(outputs(first), outputs(again))


def test_options_change_the_weights_and_their_name():
    names = {
        m.cached_file
        for m in (TinyViT(), TinyViT(seed=1), TinyViT("digits"), TinyViT(steps=3), TinyViT(width=32))
    }
    assert len(names) == 5


def test_capabilities():
    assert "classifies images" in capabilities(TinyViT())
    assert {"encodes images", "encodes texts", "exposes its module"} <= set(capabilities(TinyCLIP()))


def test_the_label_space_follows_the_training_data():
    model = TinyResNet("digits", steps=60)
    model.load(CPU)
    assert model.label_space == Digits.label_space
    test = Digits().load("test")
    images = torch.stack([model.prepare(Image.fromarray(test[i].image)) for i in range(200)])
    with torch.inference_mode():
        right = model.classify(images).argmax(dim=1).numpy() == test.targets[:200]
    assert right.mean() > 0.6  # chance is 0.1


def test_preparation_is_torchvisions():
    told = TinyViT.preparation
    same = transforms.Compose([
        transforms.Resize(told.resize, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(told.crop),
        transforms.ToTensor(), transforms.Normalize(told.mean, told.std),
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    for shape in ((32, 32), (50, 37), (31, 90), (12, 20), (49, 98)):
        image = Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
        assert torch.equal(TinyViT().prepare(image), same(image))


def test_texts_are_encoded_as_open_clip_does():
    model = some(TinyCLIP)
    model.load(CPU)
    texts = ["a photo of a star.", "an unheard-of word: zyzzyva"]
    with torch.inference_mode():
        assert torch.equal(model.encode_text(texts), model.clip.encode_text(model.tokenizer(texts)))
    assert model.logit_scale == pytest.approx(float(model.clip.logit_scale.detach().exp()))
    assert 1 <= model.logit_scale <= 100


def test_the_whole_vocabulary_survives_training():
    model = some(TinyCLIP)
    model.load(CPU)
    assert model.clip.token_embedding.weight.shape == (model.tokenizer.vocab_size, 64)


def test_the_vit_tower_has_open_clips_blocks():
    model = TinyCLIP("vit", steps=2)
    model.load(CPU)
    assert len(model.clip.visual.transformer.resblocks) == 3
    assert outputs(model).shape == (6, 64)


def test_impossible_options_are_refused():
    for make in (lambda: TinyViT(width=33), lambda: TinyResNet(width=0), lambda: TinyCLIP(steps=-1)):
        with pytest.raises(OptionError):
            make()
