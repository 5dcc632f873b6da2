"""Model plugins for fusion: any image encoder paired with any text encoder, and text encoders from transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import (
    GivesImageTokens,
    GivesTextTokens,
    Model,
    OptionError,
    Preparation,
    Unavailable,
    capabilities,
    has,
)
from harness.contract.declared import ask
from harness.inference.weights import digest, explain_missing_file, one_line

if TYPE_CHECKING:
    import torch
    from PIL import Image

TEXTS_AT_ONCE = 128


class EncoderPair:
    """An image encoder and an unrelated text encoder as one model.

    Their embeddings share no space, so the pair is for fusion, not for zero-shot classification.

    Args:
        image: a model that encodes images (timm, open_clip, torchvision, …).
        text: a model that encodes texts (hf-text, open_clip, …).
    """

    def __init__(self, image: Model, text: Model) -> None:
        if not {"encodes images", "gives image tokens"} & set(capabilities(image)):
            raise OptionError(f"pair: {type(image).__name__} does not encode images")
        if not {"encodes texts", "gives text tokens"} & set(capabilities(text)):
            raise OptionError(f"pair: {type(text).__name__} does not encode texts")
        self.image: Any = image
        self.text: Any = text
        self.preparation: Preparation | None = None

    def unavailable(self) -> str | None:
        """Return why one of the two can't be used here, or None."""
        checks = [ask(part, "unavailable") for part in (self.image, self.text)]
        return next((reason for check in checks if check and (reason := check())), None)

    @property
    def remarks(self) -> list[str]:
        """The remarks of both, such as where in a checkpoint their weights were found."""
        return [text for part in (self.image, self.text) for text in ask(part, "remarks") or ()]

    def load(self, device: torch.device) -> None:
        """Load both."""
        self.image.load(device)
        self.text.load(device)
        self.preparation = ask(self.image, "preparation")

    @property
    def module(self) -> torch.nn.Module:
        """Both networks as one module, available after `load`."""
        from torch import nn

        both = nn.ModuleDict({"image": self.image.module, "text": self.text.module})
        both.training = any(
            part.training for part in both.values()
        )  # a new ModuleDict starts in training mode
        return both

    @property
    def context_length(self) -> int:
        """Number of tokens of a text that the text encoder reads."""
        return int(self.text.context_length)

    @property
    def token_counts(self) -> Any:
        """The text encoder's `token_counts`; None if it has none."""
        return ask(self.text, "token_counts")

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Prepare an image as the image encoder does."""
        prepared: torch.Tensor = self.image.prepare(image)
        return prepared

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return the image encoder's embeddings B×E."""
        embeddings: torch.Tensor = self.image.encode_image(images)
        return embeddings

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings B×E and patches B×P×D; an encoder without patches gets its embedding as the only one."""
        if has(self.image, GivesImageTokens):
            pooled, patches = self.image.encode_image_tokens(images)
            return pooled, patches
        pooled = self.encode_image(images)
        return pooled, pooled[:, None]

    def encode_text_tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return embeddings B×E, tokens B×T×D and their mask B×T; without tokens, the embedding as the only one."""
        if has(self.text, GivesTextTokens):
            pooled, tokens, mask = self.text.encode_text_tokens(texts)
            return pooled, tokens, mask
        pooled = self.text.encode_text(texts)
        return pooled, pooled[:, None], pooled.new_ones(len(pooled), 1).bool()


class HfText:
    """A text encoder of `transformers`, from a folder with its configuration, tokenizer and safetensors.

    Args:
        path: the folder, as `save_pretrained` writes it.
        pool: how tokens become one vector: their mean, the first or the last.
        max_length: maximum number of tokens; longer texts are cut.
    """

    def __init__(
        self, path: Path, pool: Literal["mean", "first", "last"] = "mean", max_length: int = 128
    ) -> None:
        if max_length < 2:
            raise OptionError(f"hf-text: max_length must be at least 2, not {max_length}")
        self.path, self.pool, self.max_length = path, pool, max_length
        self._where = f"hf-text:{path}"
        self._module: Any = None
        self._tokenizer: Any = None

    def unavailable(self) -> str | None:
        """Return what is missing (the library, the folder, or weights as safetensors), or None."""
        from importlib.util import find_spec

        if find_spec("transformers") is None:
            return f"{self._where}: transformers is not installed; pip install 'vision-harness[text]'"
        if not (self.path / "config.json").is_file():
            return f"{self._where}: no folder with config.json; save a model there with save_pretrained"
        files = sorted(self.path.glob("*.safetensors"))
        if not files:
            return f"{self._where}: no weights as safetensors (others are not loaded, for they can run code)"
        problems = (explain_missing_file(self._where, file) for file in files)
        return next((problem for problem in problems if problem), None)

    def fingerprint(self) -> str:
        """Return a digest of the folder's files, with the version of transformers."""
        names = sorted(
            p for p in self.path.iterdir() if p.suffix in (".json", ".safetensors", ".txt", ".model")
        )
        together = hashlib.sha256(" ".join(f"{p.name} {digest(p)}" for p in names).encode()).hexdigest()
        return f"sha256:{together} transformers {version('transformers')}"

    def load(self, device: torch.device) -> None:
        """Load the encoder and its tokenizer, offline and without running code from the folder."""
        if problem := self.unavailable():
            raise Unavailable(problem)
        from transformers import AutoModel, AutoTokenizer

        safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self.path, **safe)
            module, facts = AutoModel.from_pretrained(
                self.path, use_safetensors=True, output_loading_info=True, **safe
            )
        except Exception as error:  # transformers, tokenizers and safetensors each raise their own
            raise OptionError(f"{self._where}: transformers can't load it: {one_line(error)}") from error
        # the pooler's output is not used, and many models are saved without one
        missing = sorted(n for n in facts["missing_keys"] if not n.startswith("pooler."))
        if missing:
            raise OptionError(
                f"{self._where}: {len(missing)} weights are missing (first: {missing[0]}), and would be random"
            )
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._tokenizer.padding_side = "right"
        self._module = module.float().to(device).eval()

    @property
    def module(self) -> torch.nn.Module:
        """The encoder, available after `load`."""
        module: torch.nn.Module = self._module
        return module

    @property
    def context_length(self) -> int:
        """Number of tokens of a text that the encoder reads."""
        return int(min(self.max_length, self._tokenizer.model_max_length))

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text before it is cut."""
        return [len(ids) for ids in self._tokenizer(list(texts), truncation=False)["input_ids"]]

    def encode_text_tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return pooled vectors B×D, last hidden states B×T×D and their mask B×T; T is the longest text's length."""
        import torch
        from torch.nn.functional import pad

        parts = [
            self._encode_batch(texts[n : n + TEXTS_AT_ONCE]) for n in range(0, len(texts), TEXTS_AT_ONCE)
        ]
        longest = max(mask.shape[1] for _, _, mask in parts)
        pooled = torch.cat([p for p, _, _ in parts])
        tokens = torch.cat([pad(t, (0, 0, 0, longest - t.shape[1])) for _, t, _ in parts])
        return pooled, tokens, torch.cat([pad(m, (0, longest - m.shape[1])) for _, _, m in parts])

    def _encode_batch(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        import torch

        given = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.context_length, return_tensors="pt"
        )
        ids, mask = given["input_ids"].long(), given["attention_mask"].bool()
        if ids.shape[1] == 0:  # some tokenizers return no token for empty texts
            ids = ids.new_full((len(texts), 1), self._tokenizer.pad_token_id)
            mask = ids.bool()
        mask[:, 0] |= ~mask.any(dim=1)  # an empty text keeps one visible token, so that its mean is finite
        ids, mask = (t.to(next(self._module.parameters()).device) for t in (ids, mask))
        tokens = self._module(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        if self.pool == "mean":
            pooled = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        else:
            place = torch.zeros_like(mask.sum(1)) if self.pool == "first" else mask.sum(1) - 1
            pooled = tokens[torch.arange(len(tokens), device=tokens.device), place]
        return pooled, tokens, mask
