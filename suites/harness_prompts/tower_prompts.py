"""Prompts inside both towers: learned vectors beside the tokens of several transformer blocks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness import OptionError
from harness_few_shot.tower import TextTower, run_blocks
from harness_prompts.context_vectors import ContextVectors, PromptLayout

INITIAL_STD = 0.02
"""Standard deviation of vectors that don't start from a word."""


class ImageTower:
    """An open_clip vision transformer that takes prompt tokens, replaced in each of its first blocks.

    The prompt tokens follow the image's own and have no positions; the tower pools the image's own tokens
    only. Raises OptionError for towers without open_clip's blocks: ResNets, and those built by timm.
    """

    def __init__(self, clip: Any) -> None:
        from open_clip.transformer import VisionTransformer

        visual = getattr(clip, "visual", None)
        if not isinstance(visual, VisionTransformer) or not hasattr(visual.transformer, "resblocks"):
            raise OptionError(
                f"the image tower {type(visual).__name__} has no transformer blocks of open_clip's own: prompts "
                "inside it need a vision transformer such as ViT-B-16"
            )
        self.part = visual

    @property
    def width(self) -> int:
        """Dimension of the tokens, w."""
        return int(self.part.positional_embedding.shape[1])

    @property
    def blocks(self) -> int:
        """Number of transformer blocks."""
        return len(self.part.transformer.resblocks)

    def __call__(self, images: torch.Tensor, prompts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return embeddings B×D, not normalised, of images B×3×H×W; `prompts` holds V×w for each of the first blocks."""
        part = self.part
        x = part._embeds(images)
        own = x.shape[1]

        def append_prompt(x: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
            return torch.cat([x[:, :own], prompt.to(x.dtype).expand(len(x), -1, -1)], dim=1)

        if prompts:
            x = append_prompt(
                x, part.ln_pre(prompts[0])
            )  # ln_pre works token by token, so joining afterwards is the same
        x = run_blocks(part.transformer, x, None, make_replacer(prompts, append_prompt))[:, :own]
        pooled, _ = part._pool(x)
        embeddings: torch.Tensor = pooled if part.proj is None else pooled @ part.proj
        return embeddings


def make_replacer(
    prompts: Sequence[torch.Tensor], put: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> Callable[[int, torch.Tensor], torch.Tensor]:
    """Return a hook that puts `prompts[i]` in place of the prompt tokens before block i, for 0 < i < len(prompts)."""

    def before(block: int, x: torch.Tensor) -> torch.Tensor:
        return put(x, prompts[block]) if 0 < block < len(prompts) else x

    return before


class DeepText:
    """The texts `init name.` with learned vectors, replaced in each of the first blocks.

    The vectors take the place of the first `length` tokens of `init` (all if None); the others stay words.
    """

    def __init__(self, tower: TextTower, class_names: Sequence[str], init: str, length: int | None) -> None:
        start = ContextVectors(tower, init=init).vectors.detach()
        self.length = len(start) if length is None else length
        if self.length > len(start):
            raise OptionError(
                f"the initial words '{init}' have {len(start)} tokens, {self.length} are to be learned"
            )
        self.initial, self.words = start[: self.length], start[self.length :]
        self.layout = PromptLayout(tower, class_names, len(start))

    def encode(self, prompts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return normalised text embeddings C×D; `prompts` holds M×d for each of the first blocks."""
        first, last = self.layout.start, self.layout.start + self.length

        def insert_prompt(x: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
            return torch.cat([x[:, :first], prompt.to(x.dtype).expand(len(x), -1, -1), x[:, last:]], dim=1)

        whole = torch.cat([prompts[0], self.words])
        return self.layout.encode(whole, make_replacer(prompts, insert_prompt))


class IndependentPrompts(nn.Module):
    """Unrelated prompts for the first blocks of both towers.

    Text: M×d for each of `text_blocks`, the first from words; image: V×w for each of `image_blocks`. All
    others are drawn from N(0, 0.02²) by seed.
    """

    def __init__(
        self,
        initial: torch.Tensor,
        text_blocks: int,
        image_shape: tuple[int, int],
        image_blocks: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._text = nn.ParameterList(_initial_prompts(initial, text_blocks, seed))
        generator = torch.Generator().manual_seed(seed + 1)
        self._image = nn.ParameterList(
            nn.Parameter((INITIAL_STD * torch.randn(image_shape, generator=generator)).to(initial.device))
            for _ in range(image_blocks)
        )

    def text_prompts(self) -> list[torch.Tensor]:
        """The text tower's prompts, a block each."""
        return list(self._text)

    def image_prompts(self) -> list[torch.Tensor]:
        """The image tower's prompts, a block each."""
        return list(self._image)


class CoupledPrompts(nn.Module):
    """Prompts for the first blocks of the text tower, and linear maps of them for the image tower, one per block.

    The maps have torch's default initial weights; all but the first start equal, as in MaPLe's code.
    """

    def __init__(self, initial: torch.Tensor, blocks: int, image_width: int, seed: int) -> None:
        super().__init__()
        self._text = nn.ParameterList(_initial_prompts(initial, blocks, seed))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first, other = (nn.Linear(initial.shape[1], image_width) for _ in range(2))
        self.maps = nn.ModuleList([first, *(copy.deepcopy(other) for _ in range(blocks - 1))])
        self.maps.to(initial.device)

    def text_prompts(self) -> list[torch.Tensor]:
        """The text tower's prompts, a block each."""
        return list(self._text)

    def image_prompts(self) -> list[torch.Tensor]:
        """The image tower's prompts, a block each."""
        return [projected(prompt) for projected, prompt in zip(self.maps, self._text, strict=True)]


def _initial_prompts(initial: torch.Tensor, blocks: int, seed: int) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    drawn = [INITIAL_STD * torch.randn(initial.shape, generator=generator) for _ in range(blocks - 1)]
    return [nn.Parameter(initial.clone()), *(nn.Parameter(d.to(initial.device)) for d in drawn)]
