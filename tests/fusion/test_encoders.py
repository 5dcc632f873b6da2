"""Tokens beside embeddings in one pass, pairs of any encoders, and text encoders of transformers."""

from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest
import timm
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from PIL import Image

from harness.contract.capability import capabilities
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references
from harness.errors import OptionError, Unavailable
from harness.testing import ModelConformance
from harness_embedded.tiny_networks import build_tiny_clip as tiny
from harness_open_clip.tokens import image_tokens, text_tokens
from harness_timm import TimmModel
from harness_timm.patches import extract_patches
from harness_transformers.encoders import EncoderPair, HfText

CPU = torch.device("cpu")
TEXTS = [
    "a photo of a cat!",
    "two dogs",
    "",
    "a drawing of a sentence that is so long that it has to be cut off",
]


def shaken(module):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() < 10**5:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return module.eval()


def vit(pool="tok", **text):
    vision = CLIPVisionCfg(layers=2, width=16, head_width=8, patch_size=8, image_size=16, pool_type=pool)
    return open_clip.CLIP(12, vision, CLIPTextCfg(context_length=14, width=24, heads=2, layers=2, **text))


@pytest.mark.parametrize("make", [vit, lambda: vit("avg"), lambda: tiny("vit"), lambda: tiny("resnet")])
def test_one_pass_gives_the_embeddings_and_what_they_pool(make):
    module = shaken(make())
    side = module.visual.image_size[0] if hasattr(module.visual, "image_size") else 32
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        pooled, patches = image_tokens(module, images)
        assert torch.equal(pooled, module.encode_image(images))
    assert patches.ndim == 3
    assert patches.shape[0] == 3
    if hasattr(module.visual, "output_tokens"):
        assert module.visual.output_tokens is False  # as it was before
    if getattr(module.visual, "pool_type", "") == "avg":  # then pooling can be done by hand
        assert torch.allclose(patches.mean(1) @ module.visual.proj, pooled, atol=1e-5)


def test_a_modified_resnets_patches_are_what_its_attention_pools():
    cfg = CLIPVisionCfg(layers=(1, 1, 1, 1), width=8, head_width=16, image_size=64)
    module = shaken(open_clip.CLIP(12, cfg, CLIPTextCfg(context_length=14, width=16, heads=2, layers=1)))
    with torch.inference_mode():
        images = torch.randn(2, 3, 64, 64)
        pooled, patches = image_tokens(module, images)
        grid = patches.transpose(1, 2).unflatten(2, (2, 2))
        assert torch.equal(module.visual.attnpool(grid), pooled)


@pytest.mark.parametrize("custom", [False, True])
def test_text_tokens_end_where_the_text_ends(custom):
    if custom:
        vision = CLIPVisionCfg(layers=1, width=16, head_width=8, patch_size=8, image_size=16)
        module = CustomTextCLIP(12, vision, CLIPTextCfg(context_length=14, width=24, heads=2, layers=2))
    else:
        module = vit()
    module = shaken(module)
    ids = open_clip.SimpleTokenizer(context_length=14)(TEXTS)
    with torch.inference_mode():
        pooled, tokens, mask = text_tokens(module, ids)
        assert torch.equal(pooled, module.encode_text(ids))
        assert tokens.shape == (4, 14, 24)
        ends = ids.argmax(1)
        projection = module.text.text_projection if custom else module.text_projection
        assert torch.allclose(tokens[range(4), ends] @ projection, pooled, atol=1e-5)
    assert mask.sum(1).tolist() == (ends + 1).tolist()
    assert mask.sum(1).tolist()[2:] == [2, 14]  # start and end of the empty one; the long one is cut
    assert mask[:, 0].all()


def test_an_exclamation_mark_is_a_token_though_its_id_is_that_of_padding():
    ids = open_clip.SimpleTokenizer(context_length=14)(["wow ! ! end"])
    assert (ids[0] == 0).any() or 0 not in open_clip.SimpleTokenizer().encode("!")
    _, _, mask = text_tokens(shaken(vit()), ids)
    inside = int(ids.argmax(1)) + 1
    assert mask[0, :inside].all()
    assert not mask[0, inside:].any()


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_timm_patches_pool_to_the_embedding(name):
    size = {} if name == "resnet18" else {"img_size": 64} | ({"window_size": 2} if "swin" in name else {})
    network = timm.create_model(name, num_classes=0, **size).eval()
    model = TimmModel(name, pretrained=False, num_classes=0)
    model._module = network
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        pooled, patches = model.encode_image_tokens(images)
        assert torch.equal(pooled, model.encode_image(images))
    if name.startswith("vit"):
        assert patches.shape == (2, 16, 192)  # 4×4 without the class token
    else:  # both pool by the mean over places
        assert torch.allclose(patches.mean(1), pooled, atol=1e-5)


def test_several_feature_maps_are_no_set_of_patches():
    with pytest.raises(OptionError, match="several feature maps"):
        extract_patches(torch.nn.Identity(), [torch.zeros(1, 2, 3)])


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder with a BERT of two layers and a tokenizer of a few words, both made here."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "a", "photo", "of", "cat", "two", "dogs", "!"]
    own = Tokenizer(WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    own.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=own, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=20,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder, safe_serialization=True)
    return folder


class TestTextEncoderInTheKit(ModelConformance):
    @pytest.fixture
    def model(self, bert):
        return HfText(bert, max_length=12)


def test_a_text_encoder_from_a_folder_gives_masked_means(bert):
    model = HfText(bert, max_length=12)
    assert model.unavailable() is None
    model.load(CPU)
    with torch.inference_mode():
        pooled, tokens, mask = model.encode_text_tokens(TEXTS)
        assert mask.sum(1).tolist() == [6, 2, 1, 12]
        assert model.token_counts(TEXTS)[:3] == [6, 2, 0]
        assert model.token_counts(TEXTS)[3] > model.context_length == 12
        assert tokens.shape == (4, 12, 16)
        for row, text in enumerate(TEXTS[:2]):  # alone, without padding
            ids = model._tokenizer(text, return_tensors="pt")["input_ids"]
            alone = model.module(input_ids=ids).last_hidden_state[0]
            assert torch.allclose(pooled[row], alone.mean(0), atol=1e-5)
            assert torch.allclose(tokens[row][mask[row]], alone, atol=1e-5)
        first = HfText(bert, pool="first")
        first.load(CPU)
        assert torch.allclose(first.encode_text_tokens(TEXTS[:1])[0], tokens[:1, 0], atol=1e-5)


def test_batches_of_texts_join_in_order(bert, monkeypatch):
    model = HfText(bert)
    model.load(CPU)
    with torch.inference_mode():
        whole = model.encode_text_tokens(TEXTS)
        monkeypatch.setattr("harness_transformers.encoders.TEXTS_AT_ONCE", 1)
        pooled, tokens, mask = model.encode_text_tokens(TEXTS)
    assert torch.equal(mask, whole[2])
    assert torch.allclose(pooled, whole[0], atol=1e-5)
    assert torch.allclose(tokens[mask], whole[1][mask], atol=1e-5)


def test_what_is_missing_is_said_at_planning(tmp_path, bert):
    assert "no folder with config.json" in HfText(tmp_path).unavailable()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert "no weights as safetensors" in HfText(tmp_path).unavailable()
    with pytest.raises(Unavailable, match="safetensors"):
        HfText(tmp_path).load(CPU)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(OptionError, match="can't load it"):
        HfText(tmp_path).load(CPU)


def test_the_fingerprint_follows_the_weights(tmp_path, bert):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    assert HfText(copy).fingerprint() == HfText(bert).fingerprint()
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert HfText(copy).fingerprint() != HfText(bert).fingerprint()


def test_any_image_encoder_stands_beside_any_text_encoder(bert):
    part = Resolver().resolve(
        "models",
        parse_references(
            {
                "plugin": "pair",
                "image": {"plugin": "timm", "name": "resnet10t", "pretrained": False, "num_classes": 0},
                "text": {"plugin": "hf-text", "path": str(bert)},
            },
            "test",
        )[0],
        "test",
    )
    assert part.problem is None
    assert part.missing is None
    assert "gives text tokens" in capabilities(part.object)
    assert "encodes texts" not in capabilities(part.object)  # their spaces differ: no zero-shot
    assert json.loads(part.identity)["options"]["text"]["fingerprint"].startswith("sha256:")
    pair = part.make()
    pair.load(CPU)
    picture = Image.fromarray(np.zeros((50, 60, 3), np.uint8))
    with torch.inference_mode():
        prepared = pair.prepare(picture)[None]
        pooled, patches = pair.encode_image_tokens(prepared)
        assert torch.equal(pooled, pair.image.encode_image(prepared))
        assert patches.shape[-1] == pooled.shape[-1] == 512
        assert pair.encode_text_tokens(TEXTS)[0].shape == (4, 16)
    names = dict(pair.module.named_parameters())
    assert {n.partition(".")[0] for n in names} == {"image", "text"}


def test_a_pair_needs_one_of_each(bert):
    text = HfText(bert)
    with pytest.raises(OptionError, match="does not encode images"):
        EncoderPair(text, text)
    image = TimmModel("resnet18", pretrained=False)
    with pytest.raises(OptionError, match="does not encode texts"):
        EncoderPair(image, image)
    assert "config.json" in EncoderPair(image, HfText(bert / "no")).unavailable()


def test_a_text_encoder_whose_folder_lacks_weights_is_refused(tmp_path, bert):
    """transformers would go on with random ones."""
    import shutil

    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(bert, copy)
    state = load_file(copy / "model.safetensors")
    kept = {n: v for n, v in state.items() if "layer.1." not in n}
    save_file(kept, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(OptionError, match=r"16 weights are missing \(first: encoder\.layer\.1\..*random"):
        HfText(copy).load(CPU)
    without_pooler = {n: v for n, v in state.items() if "pooler" not in n}
    save_file(without_pooler, copy / "model.safetensors", {"format": "pt"})
    HfText(copy).load(CPU)
    (copy / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is a Git LFS pointer" in HfText(copy).unavailable()


def test_a_pair_remarks_what_its_parts_do(tmp_path, bert):
    network = timm.create_model("test_resnet", num_classes=0)
    torch.save({"net": network.state_dict()}, tmp_path / "w.pth")
    pair = EncoderPair(TimmModel("test_resnet", checkpoint=tmp_path / "w.pth", num_classes=0), HfText(bert))
    pair.load(CPU)
    assert pair.remarks == ["the weights under 'net' were taken"]
