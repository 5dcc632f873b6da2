"""Embeddings of an image's places from one of open_clip's vision transformers, in the joint space with texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

LastAttention = Literal["values", "self-self", "own"]
"""What the last block's attention is replaced by, if not its own."""


def explain_unfit_tower(visual: Any) -> str | None:
    """Return why an image tower has no embeddings of places, or None."""
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    if not isinstance(visual, VisionTransformer):
        found = getattr(visual, "trunk", visual)
        return f"the image tower is a {type(found).__name__}, not one of open_clip's own vision transformers (ViT)"
    if visual.attn_pool is not None:
        return "the image tower pools by attention of its own, so its places are not in the texts' space"
    block = visual.transformer.resblocks[-1]
    if not isinstance(block, ResidualAttentionBlock) or not getattr(visual.transformer, "batch_first", True):
        return f"blocks of the kind {type(block).__name__} are not known here"
    return None


def embed_places(visual: Any, images: torch.Tensor, attention: LastAttention) -> torch.Tensor:
    """Return the embeddings B×E×h×w of the places of normalised images B×3×H×W whose sides the patches divide."""
    height, width = (
        length // patch for length, patch in zip(images.shape[-2:], visual.patch_size, strict=True)
    )
    places: torch.Tensor = embed_tokens(visual, images, attention)[:, 1:].transpose(1, 2)
    return places.reshape(len(places), -1, height, width)


def embed_tokens(visual: Any, images: torch.Tensor, attention: LastAttention) -> torch.Tensor:
    """Return the embeddings B×(1 + h·w)×E of the class token and of all places, row by row.

    All blocks but the last run as they are, on interpolated positions. The last block's attention is replaced:

    - "values": each place keeps its own value vector (MaskCLIP; Zhou et al., Extract Free Dense Labels from CLIP, ECCV
      2022);
    - "self-self": softmax(qqᵀ) + softmax(kkᵀ) over the values (SCLIP; Wang et al., ECCV 2024);
    - "own": softmax(qkᵀ), as trained.

    Then every token is normalised and projected as the one that is the image's embedding. With "own" attention the
    class token's is this embedding, or in a tower that averages places the mean of theirs is.
    """
    import torch

    grid = visual.conv1(images)
    height, width = grid.shape[-2:]
    first = visual.class_embedding.to(grid.dtype).expand(len(grid), 1, -1)
    tokens = torch.cat([first, grid.flatten(2).transpose(1, 2)], dim=1)
    positions = resize_positions(visual.positional_embedding, tuple(visual.grid_size), (height, width))
    tokens = visual.ln_pre(tokens + positions.to(grid.dtype))
    for block in visual.transformer.resblocks[:-1]:
        tokens = block(tokens)
    tokens = visual.ln_post(_run_last_block(visual.transformer.resblocks[-1], tokens, attention))
    projected: torch.Tensor = tokens if visual.proj is None else tokens @ visual.proj
    return projected


def resize_positions(table: torch.Tensor, have: tuple[int, int], want: tuple[int, int]) -> torch.Tensor:
    """Return positions (1 + h·w)×D for another grid, the class token's first: bicubic, as for other resolutions."""
    import torch
    import torch.nn.functional as F

    if have == want:
        return table
    places = table[1:].float().T.unflatten(1, have)[None]
    resized = F.interpolate(places, size=want, mode="bicubic", align_corners=False)
    return torch.cat([table[:1], resized[0].flatten(1).T.to(table.dtype)])


def _run_last_block(block: Any, tokens: torch.Tensor, attention: LastAttention) -> torch.Tensor:
    tokens = tokens + block.ls_1(_attend(block.attn, block.ln_1(tokens), attention))
    mixed: torch.Tensor = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return mixed


def _attend(layer: Any, tokens: torch.Tensor, attention: LastAttention) -> torch.Tensor:
    import torch.nn.functional as F

    def split(part: torch.Tensor) -> torch.Tensor:
        return part.reshape(*part.shape[:2], layer.num_heads, -1).transpose(1, 2)

    query, key, value = F.linear(tokens, layer.in_proj_weight, layer.in_proj_bias).chunk(3, dim=-1)
    if attention != "values":
        q, k, v = split(query), split(key), split(value)
        if attention == "own":
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = F.scaled_dot_product_attention(q, q, v) + F.scaled_dot_product_attention(k, k, v)
        value = mixed.transpose(1, 2).flatten(2)
    projected: torch.Tensor = layer.out_proj(value)
    return projected
