"""Text embeddings of a frozen model: each text is encoded once, padded only to the longest of its batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness import OptionError
from harness.inference.zeroshot import build_zero_shot_classifier, prompt_grid, prompts_of

if TYPE_CHECKING:
    import torch

    from harness_few_shot.tower import TextTower

AT_ONCE = 256


class TextEmbeddings:
    """The text side of a loaded model, with a cache of embeddings by text."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.encoded = 0
        """Number of distinct texts encoded so far."""
        self._kept: dict[str, torch.Tensor] = {}
        self._tower: TextTower | None = None

    @property
    def tower(self) -> TextTower:
        """The text tower. Raises OptionError if it can't take token embeddings."""
        from harness_few_shot.tower import open_text_tower

        if self._tower is None:
            self._tower = open_text_tower(self.model)
        return self._tower

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return embeddings N×D (float32, not normalised, on the model's device), one row per text."""
        import torch

        missing = [t for t in dict.fromkeys(texts) if t not in self._kept]
        if missing:
            with torch.no_grad():
                for text, row in zip(missing, self._encode_missing(missing), strict=True):
                    self._kept[text] = row
            self.encoded += len(missing)
        return torch.stack([self._kept[t] for t in texts])

    def encode_grid(self, class_names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
        """Return embeddings C×T×D of every class name in every template, not normalised."""
        return prompt_grid(self.encode(prompts_of(class_names, templates)), class_names, templates)

    def build_classifier(self, class_names: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
        """Return weights C×D of the templates' zero-shot classifier for cosine similarity."""
        return build_zero_shot_classifier(
            self.encode(prompts_of(class_names, templates)), class_names, templates
        )

    def _encode_missing(self, texts: Sequence[str]) -> torch.Tensor:
        import torch

        try:
            tower = self.tower
        except OptionError:
            return self.model.encode_text(list(texts)).float()  # type: ignore[no-any-return]
        if not tower.trims:
            return self.model.encode_text(list(texts)).float()  # type: ignore[no-any-return]
        tokens = tower.tokenize(texts)
        # sorted by length, so that each batch is cut to texts of about its own length
        order = tower.find_ends(tokens).argsort(stable=True)
        rows = torch.cat([tower.encode(tokens[part]).float() for part in order.split(AT_ONCE)])
        out = torch.empty_like(rows)
        out[order] = rows
        return out
