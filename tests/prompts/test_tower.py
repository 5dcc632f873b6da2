"""Text towers from token embeddings on: they agree with open_clip's own encoder, wherever the name stands."""

from __future__ import annotations

import open_clip
import pytest
import torch

from harness.errors import OptionError
from harness_few_shot.texts import TextEmbeddings
from harness_few_shot.tower import TextTower, open_text_tower
from harness_prompts.context_vectors import (
    ContextVectors,
    PromptLayout,
    decode_token,
    find_nearest_words,
    first_token_position,
    init_tokens,
)

WORDINGS = {"end": "a photo of a {}.", "middle": "a photo {} of a.", "front": "{} a photo of a."}


NAMES = ["cat", "fire truck", "hummingbird", "old stone bridge"]


def standard(kit, quick_gelu: bool = False, **text):
    return kit.TinyModel(kit.tiny_clip(quick_gelu=quick_gelu, **text))


def custom(kit, **text):
    torch.manual_seed(3)
    clip = open_clip.CustomTextCLIP(16, kit.VISION, {**kit.TEXT, **text})
    with torch.no_grad():
        clip.text.token_embedding.weight.mul_(20)
        clip.text.positional_embedding.mul_(10)
    return kit.TinyModel(clip)


def coca(kit):
    torch.manual_seed(4)
    text = {**kit.TEXT, "context_length": 40, "embed_cls": True, "output_tokens": True}
    decoder = {**kit.TEXT, "context_length": 40, "attn_pooler_heads": 2, "mlp_ratio": 4}
    vision = {**kit.VISION, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    clip = open_clip.coca_model.CoCa(16, decoder, text, vision)
    with torch.no_grad():
        clip.text.token_embedding.weight.mul_(20)
        clip.text.positional_embedding.mul_(10)
    return kit.TinyModel(clip)


VARIANTS = {
    "CLIP": (standard, {}),
    "CLIP, QuickGELU": (standard, {"quick_gelu": True}),
    "CLIP, end token by its id": (standard, {"pool_type": "eos", "eos_id": 49407}),
    "CLIP, not causal, last token": (standard, {"no_causal_mask": True, "pool_type": "last"}),
    "CLIP, causal, last token": (standard, {"pool_type": "last"}),
    "CLIP, projection with bias": (standard, {"proj_bias": True}),
    "own tower": (custom, {}),
    "own tower, not causal": (custom, {"no_causal_mask": True}),
    "own tower, not causal, last token": (custom, {"no_causal_mask": True, "pool_type": "last"}),
    "own tower, not causal, first token": (custom, {"no_causal_mask": True, "pool_type": "first"}),
    "own tower, not causal, last token, SigLIP 2's details": (
        custom,
        {
            "no_causal_mask": True,
            "pool_type": "last",
            "proj_bias": True,
            "norm_kwargs": {"eps": 1e-6},
            "act_kwargs": {"approximate": "tanh"},
        },
    ),
    "own tower, no projection": (custom, {"width": 16, "heads": 1, "proj_type": "none"}),
    "own tower, custom blocks": (custom, {"qk_norm": True, "scale_attn": True}),
    "CoCa, class token appended": (coca, {}),
}


def variant_of(kit, name):
    build, options = VARIANTS[name]
    return build(kit, **options)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("position", WORDINGS)
def test_word_embeddings_as_context_give_open_clips_own_encoding(kit, variant, position):
    model = variant_of(kit, variant)
    tower = open_text_tower(model)
    context = ContextVectors(tower, init="a photo of a")
    layout = PromptLayout(tower, NAMES, context.length, position)
    with torch.no_grad():
        ours = layout.encode(context.vectors)
        theirs = model.clip.encode_text(
            model.tokenizer([WORDINGS[position].format(n) for n in NAMES]), normalize=True
        )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    # the texts do differ, so that agreement means something
    assert (theirs[0] - theirs[1]).abs().max() > 1e-3


@pytest.mark.parametrize("length", [1, 4, 16])
def test_causal_towers_cut_to_the_longest_text_are_bit_equal(kit, length):
    model = kit.TinyModel(kit.tiny_clip(context_length=77), 77)
    tower = open_text_tower(model)
    texts = [" ".join(["word"] * length) + f" {n}" for n in NAMES]
    tokens = tower.tokenize(texts)
    assert tower.trims
    assert tower.needed_length(tokens) < 30
    with torch.no_grad():
        assert torch.equal(tower.encode(tokens), model.clip.encode_text(tokens))


def test_towers_that_see_the_padding_keep_it(kit):
    for variant in (
        "own tower, not causal",
        "own tower, not causal, last token",
        "CoCa, class token appended",
    ):
        tower = open_text_tower(variant_of(kit, variant))
        assert tower.needed_length(tower.tokenize(["a cat"])) == 40, variant


def test_towers_of_transformers_are_refused_in_one_line():
    class HFTextEncoder(torch.nn.Module):
        pass

    clip = torch.nn.Module()
    clip.text = HFTextEncoder()
    with pytest.raises(OptionError, match="HFTextEncoder takes no token embeddings"):
        TextTower(clip, None)
    with pytest.raises(OptionError, match="need an open_clip model"):
        open_text_tower(object())


def test_texts_are_encoded_once_and_as_the_model_does(model):
    texts = TextEmbeddings(model)
    wanted = ["a cat", "two dogs in the rain", "a cat", "x", "a long sentence about nothing in particular"]
    with torch.no_grad():
        torch.testing.assert_close(texts.encode(wanted), model.encode_text(wanted), atol=1e-6, rtol=0)
    assert texts.encoded == 4
    texts.encode(["x", "y"])
    assert texts.encoded == 5


@pytest.mark.parametrize("position", WORDINGS)
def test_the_end_of_the_text_survives_every_position(model, position):
    tower = open_text_tower(model)
    layout = PromptLayout(tower, NAMES, 5, position)
    marked = tower.tokenize([f"X X X X X {n}." for n in NAMES])
    ends = tower.find_ends(marked)
    embedded = layout.embed(torch.full((5, 32), 7.0))
    eot = tower.embed(torch.tensor([[49407]]))[0, 0]
    sot = tower.embed(torch.tensor([[49406]]))[0, 0]
    for row, end in enumerate(ends):
        assert torch.equal(embedded[row, end], eot)
        assert torch.equal(embedded[row, 0], sot)
        assert int((embedded[row] == 7.0).all(dim=1).sum()) == 5


def test_a_name_that_leaves_no_room_is_refused(model):
    with pytest.raises(OptionError, match=r"has \d+ tokens, the text tower takes 40"):
        PromptLayout(open_text_tower(model), ["cat", "very " * 40 + "long name"], 4)


def test_initial_words_of_several_tokens_count_as_their_tokens(model):
    tower = open_text_tower(model)
    words = "a hyperspectral watercolourish"
    ids = model.tokenizer.encode(words)
    assert len(ids) > 3
    assert init_tokens(tower, words).tolist() == ids
    assert init_tokens(tower, words.replace(" ", "_")).tolist() == ids
    context = ContextVectors(tower, init=words)
    assert context.length == len(ids)
    with torch.no_grad():
        ours = PromptLayout(tower, NAMES, context.length).encode(context.vectors)
        theirs = model.clip.encode_text(model.tokenizer([f"{words} {n}." for n in NAMES]), normalize=True)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_identical_class_specific_contexts_equal_the_shared_one(model):
    tower = open_text_tower(model)
    shared = ContextVectors(tower, 4, seed=1).vectors.detach()
    for position in WORDINGS:
        layout = PromptLayout(tower, NAMES, 4, position)
        with torch.no_grad():
            torch.testing.assert_close(
                layout.encode(shared.expand(len(NAMES), -1, -1)),
                layout.encode(shared),
                atol=1e-6,
                rtol=0,
            )


def test_context_shapes_and_parameters(model):
    tower = open_text_tower(model)
    assert ContextVectors(tower, 16).vectors.shape == (16, 32)
    assert ContextVectors(tower, 16, classes=5).vectors.shape == (5, 16, 32)
    assert ContextVectors(tower, init="a photo of a", classes=5).vectors.shape == (5, 4, 32)
    assert abs(float(ContextVectors(tower, 4000).vectors.detach().std()) - 0.02) < 5e-4


def test_nearest_words_of_words_are_themselves(model):
    tower = open_text_tower(model)
    found = find_nearest_words(tower, ContextVectors(tower, init="a photo of a").vectors, 2)
    assert [words[0][0] for words in found] == ["a", "photo", "of", "a"]
    assert all(words[0][1] == pytest.approx(0, abs=2e-2) for words in found)
    assert all(words[0][1] <= words[1][1] for words in found)


def test_tokens_are_shown_as_they_are_read(model):
    handshake = model.tokenizer.encode("\U0001f91d")
    assert "".join(decode_token(model.tokenizer, t) for t in handshake) == "\U0001f91d"
    assert (
        decode_token(model.tokenizer, 128) == model.tokenizer.decoder[128]
    )  # one byte of a longer character
    assert decode_token(object(), 7) == "7"


def test_where_a_text_starts(model):
    assert first_token_position(open_text_tower(model)) == 1
