"""Embeddings of places: the tower's own output, which tokens a patch reaches, averaging towers, other grids."""

from __future__ import annotations

import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from harness_segmenters.dense_tokens import embed_places, embed_tokens, explain_unfit_tower, resize_positions

SIDE, PATCH = 32, 8
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


def build(layers=2, **vision):
    torch.manual_seed(0)
    settings = {
        "image_size": SIDE,
        "layers": layers,
        "width": 32,
        "head_width": 16,
        "patch_size": PATCH,
        **vision,
    }
    clip = open_clip.CLIP(24, CLIPVisionCfg(**settings), CLIPTextCfg(**TEXT)).eval()
    for parameter in clip.visual.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # no bias or gain is trivial
    return clip.visual


@pytest.fixture
def images():
    return torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("vision", [{}, {"ls_init_value": 0.5}, {"no_ln_pre": True}, {"patch_dropout": 0.5}])
@torch.no_grad()
def test_own_attention_gives_the_class_token_its_embedding(images, vision):
    visual = build(**vision)
    assert (embed_tokens(visual, images, "own")[:, 0] - visual(images)).abs().max() < 1e-6


@torch.no_grad()
def test_the_mean_of_an_averaging_towers_places_is_its_embedding(images):
    visual = build(pool_type="avg").double()
    places = embed_places(visual, images.double(), "own")
    assert places.shape == (3, 24, 4, 4)
    assert (places.mean(dim=(2, 3)) - visual(images.double())).abs().max() < 1e-7


@pytest.mark.parametrize(("attention", "reached"), [("values", 1), ("self-self", 17), ("own", 17)])
@torch.no_grad()
def test_in_one_block_a_patch_reaches_only_itself_by_values_and_all_by_attention(images, attention, reached):
    visual = build(layers=1)
    other = images[:1].clone()
    other[..., PATCH : 2 * PATCH, 2 * PATCH : 3 * PATCH] += (
        1  # the place of row 1 and column 2: token 1 + 4 + 2
    )
    change = (embed_tokens(visual, other, attention) - embed_tokens(visual, images[:1], attention)).abs()
    changed = change.amax(dim=-1)[0] > 1e-6
    assert changed.sum() == reached
    assert changed[7]


@torch.no_grad()
def test_values_are_what_the_block_gives_if_every_token_sees_only_itself(images):
    visual = build()
    tokens = visual.transformer.resblocks[0](visual._embeds(images))
    alone = torch.full((17, 17), -torch.inf).fill_diagonal_(0)
    expected = visual.ln_post(visual.transformer.resblocks[-1](tokens, attn_mask=alone)) @ visual.proj
    assert torch.allclose(embed_tokens(visual, images, "values"), expected, atol=1e-5)


@torch.no_grad()
def test_self_self_adds_the_maps_of_queries_and_of_keys(images):
    visual = build()
    block = visual.transformer.resblocks[-1]
    tokens = visual.transformer.resblocks[0](visual._embeds(images))
    parts = F.linear(block.ln_1(tokens), block.attn.in_proj_weight, block.attn.in_proj_bias)
    heads = []
    for head in range(2):
        at = 16 * head
        q, k, v = (parts[..., 32 * part + at : 32 * part + at + 16] for part in range(3))
        maps = sum((0.25 * one @ one.transpose(1, 2)).softmax(dim=-1) for one in (q, k))
        heads.append(maps @ v)
    tokens = tokens + block.attn.out_proj(torch.cat(heads, dim=-1))
    tokens = tokens + block.mlp(block.ln_2(tokens))
    expected = visual.ln_post(tokens) @ visual.proj
    assert torch.allclose(embed_tokens(visual, images, "self-self"), expected, atol=1e-5)


def test_positions_of_the_own_grid_are_untouched_and_others_are_read_between():
    ramp = torch.arange(8.0).repeat(8, 1).reshape(-1, 1)
    table = torch.cat([torch.tensor([[100.0]]), ramp])
    assert resize_positions(table, (8, 8), (8, 8)) is table
    larger = resize_positions(table, (8, 8), (4, 16))
    assert larger.shape == (1 + 4 * 16, 1)
    assert larger[0] == 100
    rows = larger[1:].reshape(4, 16)
    assert torch.equal(rows, rows[:1].expand(4, -1))  # rows stay rows
    pairs = rows.reshape(4, 8, 2)
    assert (pairs[..., 1] > pairs[..., 0]).all()
    # away from the edges two halves of a place are around what it had
    assert torch.allclose(pairs.mean(dim=-1)[:, 2:6], torch.arange(2.0, 6.0), atol=1e-5)


@torch.no_grad()
def test_images_of_other_sizes_have_a_place_per_patch_row_by_row():
    visual = build(layers=1)
    image = torch.zeros(1, 3, 2 * PATCH, 6 * PATCH)
    places = embed_places(visual, image, "values")
    assert places.shape == (1, 24, 2, 6)
    image[..., PATCH:, 5 * PATCH :] = 1
    moved = (embed_places(visual, image, "values") - places).abs().amax(dim=1)[0] > 1e-6
    assert moved.nonzero().tolist() == [[1, 5]]


def test_other_towers_are_refused_by_name():
    assert explain_unfit_tower(build()) is None
    assert "attention of its own" in explain_unfit_tower(build(attentional_pool=True))
    assert "CustomResidualAttentionBlock" in explain_unfit_tower(build(qk_norm=True))
    assert "Linear" in explain_unfit_tower(torch.nn.Linear(1, 1))
