"""open_clip models: the same embeddings as open_clip itself, QuickGELU right, one clear line else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torchvision.transforms as T
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

from harness.contract.capability import capabilities
from harness.errors import OptionError, Unavailable
from harness_open_clip import OpenClipModel, build_open_clip_preparation
from harness_open_clip.names import list_open_clip_architectures, split_name
from harness_open_clip.tokens import token_counts

CPU = torch.device("cpu")
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TEXTS = [
    "a photo of a cat.",
    "two dogs",
    "",
    "a drawing of a sentence that is so long that it has to be cut off",
]


def photo(height: int = 75, width: int = 122) -> Image.Image:
    """A random RGB image that is no square and no multiple of anything."""
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def by_hand(preparation) -> T.Compose:
    """What the contract says a `Preparation` means, in torchvision's words."""
    return T.Compose(
        [
            T.Resize(preparation.resize, T.InterpolationMode(preparation.interpolation)),
            T.CenterCrop(preparation.crop),
            T.ToTensor(),
            T.Normalize(preparation.mean, preparation.std),
        ]
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[Path, Path, torch.nn.Module]:
    """A tiny architecture's config file, random weights of it as a file, and the network itself."""
    folder = tmp_path_factory.mktemp("tiny")
    config = folder / "ViT-B-32.json"  # named like a shipped one, which must stay as it is
    config.write_text(json.dumps(TINY))
    torch.manual_seed(5)
    network = open_clip.CLIP(**TINY).eval()
    with torch.no_grad():
        network.logit_scale.fill_(3.5)
        for name, value in network.named_parameters():
            if name != "logit_scale":
                value.add_(0.05 * torch.randn_like(value))
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / "tiny.safetensors")
    return config, folder / "tiny.safetensors", network


@pytest.fixture(scope="module")
def loaded(tiny) -> OpenClipModel:
    model = OpenClipModel("tiny", config=tiny[0], checkpoint=tiny[1])
    model.load(CPU)
    return model


def test_embeddings_equal_the_bare_network_bit_for_bit(tiny, loaded):
    network = tiny[2]
    prepared = loaded.prepare(photo())
    assert torch.equal(prepared, image_transform_v2(PreprocessCfg(size=(32, 32)), is_train=False)(photo()))
    assert torch.equal(by_hand(loaded.preparation)(photo()), prepared)
    tokens = open_clip.SimpleTokenizer(context_length=12)(TEXTS)
    with torch.inference_mode():
        assert torch.equal(loaded.encode_image(prepared[None]), network.encode_image(prepared[None]))
        assert torch.equal(loaded.encode_text(TEXTS), network.encode_text(tokens))
    assert loaded.logit_scale == pytest.approx(float(np.exp(3.5)), rel=1e-6)
    assert loaded.logit_bias is None
    assert loaded.clip is loaded.module


def test_many_texts_are_encoded_in_batches_and_in_order(loaded, monkeypatch):
    texts = [f"a photo of the number {i}" for i in range(23)]
    with torch.inference_mode():
        whole = loaded.encode_text(texts)
        monkeypatch.setattr("harness_open_clip.TEXTS_AT_ONCE", 5)
        assert torch.allclose(loaded.encode_text(texts), whole, atol=1e-5)
    # embeddings differ enough for a wrong order to be seen
    assert not torch.allclose(whole[:-1], whole[1:], atol=1e-3)


def test_an_own_config_leaves_the_shipped_architecture_of_that_name_alone(loaded):
    assert open_clip.get_model_config("ViT-B-32")["embed_dim"] == 512


def test_capabilities_are_a_two_tower_models(tiny):
    tokens = ["gives image tokens", "gives text tokens"]
    expected = ["encodes images", "encodes texts", *tokens, "exposes its module"]
    assert capabilities(OpenClipModel) == expected
    assert capabilities(OpenClipModel("ViT-B-32/openai")) == expected


@pytest.mark.parametrize("wanted", [None, True, False])
@pytest.mark.parametrize("built", [True, False])
def test_quickgelu_is_what_the_option_says_or_else_the_architecture(tmp_path, tiny, wanted, built):
    config = tmp_path / "own.json"
    config.write_text(json.dumps({**TINY, "quick_gelu": built}))
    model = OpenClipModel("own", config=config, checkpoint=tiny[1], quickgelu=wanted)
    model.load(CPU)
    quick = built if wanted is None else wanted
    reference = open_clip.CLIP(**TINY, quick_gelu=quick).eval()
    reference.load_state_dict(tiny[2].state_dict())
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(model.encode_image(images), reference.encode_image(images))
        assert torch.equal(model.encode_text(TEXTS), reference.encode_text(model.tokenizer(TEXTS)))
        # the other activation would have been noticed
        other = open_clip.CLIP(**TINY, quick_gelu=not quick).eval()
        other.load_state_dict(tiny[2].state_dict())
        assert not torch.allclose(model.encode_image(images), other.encode_image(images), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "quick"),
    [
        ("ViT-B-32/openai", True),
        ("ViT-B-32-quickgelu/openai", True),
        ("ViT-B-32/laion2b_s34b_b79k", False),
        ("ViT-B-16/dfn2b", True),
        ("ViT-B-16/datacomp_xl_s13b_b90k", False),
    ],
)
def test_a_tags_weights_get_the_activation_they_were_trained_with(tiny, monkeypatch, name, quick):
    """The published pairs; the architecture is swapped for the tiny one so that nothing is downloaded."""
    model = OpenClipModel(name, checkpoint=tiny[1])
    quick_architecture = model.architecture.endswith("-quickgelu")
    config = {**TINY, "quick_gelu": quick_architecture}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, model.architecture, config)
    model.load(CPU)
    activations = {type(m).__name__ for m in model.module.modules() if "GELU" in type(m).__name__}
    assert activations == ({"QuickGELU"} if quick else {"GELU"})


def test_a_tag_decides_the_preprocessing_of_a_checkpoint_given_in_its_place(tiny, monkeypatch):
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16-SigLIP", TINY)
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda name: None)
    model = OpenClipModel("ViT-B-16-SigLIP/webli", checkpoint=tiny[1])
    model.load(CPU)
    tag = open_clip.get_pretrained_cfg("ViT-B-16-SigLIP", "webli")
    assert model.preparation.resize == (32, 32)  # SigLIP squashes
    assert model.preparation.mean == tuple(tag["mean"]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [32, (32, 32), (32, 48)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_every_kind_of_preprocessing_is_said_exactly_or_not_at_all(mode, size, interpolation):
    settings = PreprocessCfg(size=size, resize_mode=mode, interpolation=interpolation)
    preparation = build_open_clip_preparation(settings)
    sayable = mode == "squash" or (mode == "shortest" and size != (32, 48))
    assert (preparation is not None) == sayable
    if preparation is not None:
        theirs = image_transform_v2(settings, is_train=False)
        assert torch.equal(by_hand(preparation)(photo()), theirs(photo()))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("ViT-B-32", ("ViT-B-32", None)),
        ("ViT-B-32/openai", ("ViT-B-32", "openai")),
        ("ViT-B/32", ("ViT-B-32", None)),
        ("ViT-L/14/openai", ("ViT-L-14", "openai")),
        ("hf-hub:laion/some-model", ("hf-hub:laion/some-model", None)),
    ],
)
def test_names_are_split_as_people_write_them(name, parts):
    assert split_name(name) == parts


def test_architectures_read_from_the_files_are_those_open_clip_lists():
    listed = {name for name in open_clip.list_models() if not name.startswith("config-")}  # other tests' own
    assert listed == {name for name in list_open_clip_architectures() if name in listed}
    assert len(list_open_clip_architectures() - listed) < 5  # files that are no complete two-tower configs


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(OptionError, match=re.escape("did you mean 'ViT-B-32'?")):
        OpenClipModel("ViT-B32/openai")
    with pytest.raises(OptionError, match=re.escape("did you mean 'laion2b_s34b_b79k'?")):
        OpenClipModel("ViT-B-32/laion2b_s34b").load(CPU)
    with pytest.raises(OptionError, match="pretrained is 'openai', but the name says 'laion2b_e16'"):
        OpenClipModel("ViT-B-32/laion2b_e16", pretrained="openai")


def test_without_a_network_one_line_says_how_to_get_the_weights(monkeypatch, tmp_path):
    monkeypatch.setattr("harness.inference.weights._resolves", lambda address: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(Unavailable) as caught:
        OpenClipModel("ViT-B-32/laion2b_s34b_b79k").load(CPU)
    assert "\n" not in str(caught.value)
    assert "checkpoint=FILE" in str(caught.value)


class Trap:
    """Runs code when unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path(self.mark),))


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(tmp_path, tiny):
    trap = Trap()
    trap.mark = str(tmp_path / "ran")
    torch.save({"state_dict": trap}, tmp_path / "w.pt")
    with pytest.raises(OptionError, match="holds more than plain weights"):
        OpenClipModel("tiny", config=tiny[0], checkpoint=tmp_path / "w.pt").load(CPU)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt"])
def test_a_file_that_holds_no_weights_is_one_clear_line(tmp_path, tiny, file):
    (tmp_path / file).write_bytes(b"these are not weights")
    with pytest.raises(OptionError, match=f"{file} can't be read as weights") as caught:
        OpenClipModel("tiny", config=tiny[0], checkpoint=tmp_path / file).load(CPU)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_one_clear_line(tmp_path, tiny):
    config = tmp_path / "wide.json"
    config.write_text(json.dumps({**TINY, "embed_dim": 24}))
    with pytest.raises(OptionError, match="does not fit") as caught:
        OpenClipModel("wide", config=config, checkpoint=tiny[1]).load(CPU)
    assert "\n" not in str(caught.value)
    assert "text_projection" in str(caught.value)


def test_a_config_that_is_none_is_one_clear_line(tmp_path, tiny):
    config = tmp_path / "bad.json"
    config.write_text("{}")
    with pytest.raises(OptionError, match=r"bad\.json has no 'embed_dim'"):
        OpenClipModel("bad", config=config).load(CPU)
    config.write_text("{")
    with pytest.raises(OptionError, match=r"bad\.json is not a JSON file"):
        OpenClipModel("bad", config=config).load(CPU)
    assert "is not a file" in (OpenClipModel("bad", config=tmp_path / "gone.json").unavailable() or "")


def test_a_hub_folders_config_brings_its_preprocessing(tmp_path, tiny):
    config = tmp_path / "open_clip_config.json"
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "resize_mode": "squash"}
    config.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": preprocess}))
    model = OpenClipModel("own", config=config, checkpoint=tiny[1])
    model.load(CPU)
    assert model.preparation.mean == (0.1, 0.2, 0.3)
    assert model.preparation.resize == (32, 32)
    assert torch.equal(by_hand(model.preparation)(photo()), model.prepare(photo()))


def test_the_fingerprint_follows_weights_and_config(tmp_path, tiny):
    config = tmp_path / "own.json"
    config.write_text(json.dumps(TINY))
    first = OpenClipModel("own", config=config, checkpoint=tiny[1]).fingerprint()
    config.write_text(json.dumps({**TINY, "quick_gelu": True}))
    assert OpenClipModel("own", config=config, checkpoint=tiny[1]).fingerprint() != first
    assert OpenClipModel("ViT-B-32/openai").fingerprint() == f"open_clip {open_clip.__version__}"


def test_a_folder_in_open_clips_own_layout_is_known_by_its_content(tmp_path, tiny):
    assert "open_clip_config.json" in (OpenClipModel(f"local-dir:{tmp_path}").unavailable() or "")
    config = tmp_path / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    shutil.copy(tiny[1], tmp_path / f"open_clip_model{tiny[1].suffix}")
    model = OpenClipModel(f"local-dir:{tmp_path}")
    assert model.unavailable() is None
    model.load(CPU)
    batch = model.prepare(photo())[None]
    with torch.inference_mode():
        assert torch.equal(model.encode_image(batch), tiny[2].encode_image(batch))
    before = model.fingerprint()
    with (tmp_path / f"open_clip_model{tiny[1].suffix}").open("ab") as file:
        file.write(b"more")
    assert OpenClipModel(f"local-dir:{tmp_path}").fingerprint() != before


def test_tokens_are_counted_before_they_are_cut(loaded):
    texts = ["", "a photo of a red fox.", "Ünïcode 🦊 & <b>", "very long " * 60]
    uncut = loaded.tokenizer(texts, context_length=500)
    assert loaded.token_counts(texts) == [int(row.argmax()) + 1 for row in uncut]
    assert loaded.context_length == loaded.tokenizer(["a"]).shape[1]


@pytest.mark.parametrize("kind", ["HFTokenizer", "HFTokenizer clips", "SigLipTokenizer"])
def test_tokens_of_other_tokenizers_are_counted_as_these_make_them(kind):
    """By what the tokenizers themselves give where there is room for all."""
    from open_clip import tokenizer as made
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: n for n, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", "<cls>", "a", "red", "fox"])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        cls_token="<cls>",
    )
    name, _, mode = kind.partition(" ")
    tokenizer = object.__new__(getattr(made, name))
    tokenizer.__dict__.update(
        tokenizer=fast, context_length=6, clean_fn=made.get_clean_fn("whitespace"), tokenizer_mode=mode, strip_sep_token=False
    )  # fmt: skip
    if name == "SigLipTokenizer":
        del tokenizer.clean_fn
    texts = ["", "a red fox", "a   red  fox red fox a red", "a red fox red"]
    whole = [int((row != 0).sum()) for row in tokenizer(texts, context_length=64)]
    assert token_counts(tokenizer, texts) == whole
    assert sum(n > 6 for n in whole) in (1, 2)
