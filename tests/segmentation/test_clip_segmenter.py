"""The zero-shot segmenter: closed forms on a small open_clip tower, its options, and what the tiny model finds."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from harness import DataError, OptionError, has
from harness_dense.contracts import SegmentsImages, TakesClassNames
from harness_embedded.scene_splits import load_scene_images
from harness_embedded.shapes import CLASSES
from harness_embedded.tiny_models import TinyCLIP, TinyViT
from harness_open_clip import OpenClipModel
from harness_segmenters.clip_segmenter import ClipSegmenter
from harness_segmenters.dense_tokens import embed_places

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
NAMES = ["cat", "dog", "boat"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "small.json"
    path.write_text(json.dumps(CONFIG))
    return OpenClipModel("small", config=path)


def load(clip, classes=NAMES, **options):
    segmenter = ClipSegmenter(clip, **options)
    segmenter.load(CPU)
    segmenter.name_classes(classes, ["a photo of a {}."])
    return segmenter


def draw(height, width, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_it_has_the_capabilities_before_it_is_loaded(clip):
    segmenter = ClipSegmenter(clip)
    assert has(segmenter, SegmentsImages)
    assert has(segmenter, TakesClassNames)
    with pytest.raises(OptionError, match="no classes yet"):
        segmenter.segment([draw(32, 32)])


def test_one_window_is_scaled_cosines_enlarged(clip):
    segmenter = load(clip, shorter_side=32, scale=7.0)
    image = draw(32, 32)
    mean, std = (torch.tensor(v)[:, None, None] for v in (clip.preparation.mean, clip.preparation.std))
    with torch.no_grad():
        places = F.normalize(embed_places(clip.clip.visual, ((image - mean) / std)[None], "values"), dim=1)[0]
        texts = F.normalize(clip.encode_text([f"a photo of a {name}." for name in NAMES]), dim=1)
        cosines = torch.einsum("ce,ehw->chw", texts, places)
        expected = F.interpolate(7 * cosines[None], size=(32, 32), mode="bilinear", align_corners=False)[0]
    assert torch.allclose(segmenter.segment([image])[0], expected, atol=1e-5)


def test_the_models_own_scale_is_the_default(clip):
    image = draw(40, 32)
    own, doubled = (load(clip, scale=s).segment([image])[0] for s in (None, 2 * clip.logit_scale))
    assert torch.allclose(2 * own, doubled, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"window": 0}, {"window": 0, "shorter_side": 45}, {"stride": 5}])
def test_logits_have_the_images_size_and_do_not_depend_on_its_neighbours(clip, options):
    segmenter = load(clip, **options)
    images = [draw(50, 71, 1), draw(32, 32, 2), draw(20, 90, 3)]
    together = segmenter.segment(images)
    assert [tuple(logits.shape) for logits in together] == [(3, 50, 71), (3, 32, 32), (3, 20, 90)]
    alone = [segmenter.segment([image])[0] for image in reversed(images)]
    assert all(torch.equal(a, b) for a, b in zip(together, reversed(alone), strict=True))


def test_a_flat_image_is_the_same_wherever_a_window_lies(clip):
    """Windows meet the same pixels at the same places, so that each of a wide image's windows says the same."""
    segmenter = load(clip, shorter_side=32, stride=32)
    logits = segmenter.segment([torch.full((3, 32, 96), 0.5)])[0]
    assert torch.allclose(logits[..., :32], logits[..., 32:64], atol=1e-5)
    assert torch.allclose(logits[..., :32], logits[..., 64:], atol=1e-5)
    assert not torch.allclose(logits, segmenter.segment([draw(32, 96)])[0], atol=1e-3)


def test_defaults_follow_the_towers_size(clip):
    image = draw(48, 60)
    same = load(clip, shorter_side=48, window=32, stride=16).segment([image])[0]
    assert torch.equal(load(clip).segment([image])[0], same)
    assert not torch.equal(load(clip, stride=32).segment([image])[0], same)


def test_classes_may_be_named_anew(clip):
    segmenter, image = load(clip), draw(32, 40)
    before = segmenter.segment([image])[0]
    segmenter.name_classes(["dog", "tree"], ["a photo of a {}."])
    assert segmenter.class_names == ["dog", "tree"]
    assert torch.allclose(segmenter.segment([image])[0][0], before[1], atol=1e-5)


def test_templates_are_the_data_sets_unless_the_option_has_others(clip):
    image = draw(32, 32)

    def say(option, *templates):
        segmenter = ClipSegmenter(clip, templates=option)
        segmenter.load(CPU)
        segmenter.name_classes(NAMES, templates)
        return segmenter.segment([image])[0]

    own, other = say("data", "a {}", "the {}"), say(["a {}", "the {}"], "art of a {}")
    assert torch.equal(own, other)
    assert not torch.allclose(own, say("data", "art of a {}"), atol=1e-4)
    assert torch.equal(say("imagenet-7", "{}"), say("imagenet-7", "a {}"))


def test_a_file_of_templates_is_part_of_its_identity(clip, tmp_path):
    file = tmp_path / "templates.txt"
    file.write_text("a {}\n")
    first = ClipSegmenter(clip, templates=str(file)).fingerprint()
    file.write_text("the {}\n")
    assert ClipSegmenter(clip, templates=str(file)).fingerprint() != first


def test_a_threshold_only_adds_background(clip):
    image, names = draw(48, 48), ["background", *NAMES]
    plain = load(clip).segment([image])[0]
    low, high = (load(clip, names, threshold=t).segment([image])[0] for t in (1e-4, 1 - 1e-6))
    assert torch.equal(low.argmax(dim=0) - 1, plain.argmax(dim=0))
    assert (high.argmax(dim=0) == 0).all()
    assert torch.equal(low[1:], plain)


def test_a_background_alone_needs_words(clip):
    with pytest.raises(DataError, match="no class but 'background'"):
        load(clip, ["background"], threshold=0.5)
    one = load(clip, ["background"], threshold=0.5, names=["background=sky"])
    assert one.segment([draw(32, 32)])[0].shape == (1, 32, 32)


def test_words_for_classes_and_remarks(clip):
    segmenter = load(clip, names=["boat=ship, dinghy", "background=sky, wall"])
    assert [r for r in segmenter.remarks if "random" not in r] == [
        "names for 1 class that the data set does not have are left out (first: 'background')"
    ]
    image = draw(32, 32)
    words = load(clip, ["cat", "dog", "ship", "dinghy"]).segment([image])[0]
    expected = torch.cat([words[:2], words[2:].amax(dim=0, keepdim=True)])
    assert torch.allclose(segmenter.segment([image])[0], expected, atol=1e-5)


def test_prompts_that_are_cut_are_remarked(clip):
    long = "cat " * 30
    assert any("were cut" in text for text in load(clip, [f"{long}one", f"{long}two"]).remarks)


def test_images_are_only_decoded(clip):
    image = ClipSegmenter(clip).prepare(Image.new("L", (5, 3), 51))
    assert image.shape == (3, 3, 5)
    assert torch.allclose(image, torch.tensor(0.2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shorter_side": 0}, "shorter_side must be at least 1, not 0"),
        ({"stride": 0}, "stride must be at least 1"),
        ({"scale": 0.0}, "scale must be positive"),
        ({"threshold": 1.0}, "threshold must be between 0 and 1"),
        ({"templates": "a {}"}, "write a list"),
        ({"names": ["boat"]}, "class=word, word"),
        ({"window": 20}, "multiple of the patches' 8 pixels, not 20"),
        ({"window": 32, "shorter_side": 24}, "window must be at most the shorter side, 24"),
        ({"stride": 40}, "stride must be at most the window, 32"),
    ],
)
def test_wrong_options_are_refused(clip, options, said):
    with pytest.raises(OptionError, match=said):
        load(clip, **options)


def test_other_models_are_refused(clip):
    with pytest.raises(OptionError, match="TinyViT has no towers of open_clip's"):
        ClipSegmenter(TinyViT(steps=0))
    with pytest.raises(OptionError, match=r"image tower is a \w*ResNet"):
        load(TinyCLIP(tower="resnet", steps=0))


@pytest.mark.parametrize("attention", ["values", "self-self"])
def test_the_tiny_model_names_places_of_centred_objects_but_does_not_find_them(attention):
    """Its 4×4 places all see the whole scene: a corner is named after the object as often as the object is."""
    drawn = load_scene_images("none", "test")
    images = torch.from_numpy(drawn.images[:100].copy()).permute(0, 3, 1, 2).float() / 255
    labels = torch.as_tensor(drawn.labels[:100])[:, None, None]
    segmenter = load(TinyCLIP(tower="vit", steps=400), list(CLASSES), attention=attention, shorter_side=32)
    said = torch.stack([logits.argmax(dim=0) for logits in segmenter.segment(list(images))])
    inside, corner = said[:, 12:20, 12:20] == labels, said[:, :4, :4] == labels
    assert inside.float().mean() > 3 / len(CLASSES)
    assert corner.float().mean() > 2 / len(CLASSES)
