"""open_clip models as a plugin: any architecture and tag, or a checkpoint file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import OptionError, Preparation, Unavailable, derive_seed
from harness.errors import did_you_mean
from harness.inference.weights import (
    check_weights_key,
    digest,
    explain_missing_file,
    explain_weights_download,
    make_unusable_error,
    one_line,
)
from harness_open_clip.checkpoints import is_big_vision, load_checkpoint
from harness_open_clip.names import HUB_SCHEMES, list_open_clip_architectures, split_name
from harness_timm.folders import find_folder_problem, folder_digest, parse_folder

if TYPE_CHECKING:
    import torch
    from PIL import Image

TEXTS_AT_ONCE = 256
_REMEDY = "get them on a machine with a network and give the file as checkpoint=FILE"


class OpenClipModel:
    """An open_clip model: `ViT-B-32/laion2b_s34b_b79k`, `ViT-B-32` with `pretrained`, `hf-hub:…`.

    Without a tag or a checkpoint the weights are random, from a fixed seed.

    Args:
        name: the architecture, alone or as `ARCH/TAG`, or a repository with its own weights:
            `hf-hub:OWNER/NAME`, `local-dir:FOLDER`.
        pretrained: the tag of the weights, if the name has none.
        checkpoint: a safetensors or torch file used instead of the tag's weights; a tag given with it
            still determines QuickGELU and preprocessing.
        quickgelu: force or forbid QuickGELU in the towers; by default the tag decides (OpenAI's weights
            were trained with it), or else the architecture.
        config: a JSON file with your own architecture (`embed_dim`, `vision_cfg`, `text_cfg`), or such
            a file of a hub repository (`model_cfg`, `preprocess_cfg`); `name` is then only a label.
        weights_key: location of the weights in the checkpoint (`ema`, `state_dict.model`), if several
            fit; by default averaged weights are preferred.
    """

    logit_scale: float

    @classmethod
    def known_names(cls) -> frozenset[str]:
        """Return open_clip's architectures, without importing it."""
        return list_open_clip_architectures()

    @classmethod
    def recognise(cls, path: Path) -> dict[str, str] | None:
        """Return the options for a folder with a model in open_clip's layout, or None."""
        return {"name": f"local-dir:{path}"} if (path / "open_clip_config.json").is_file() else None

    def __init__(
        self,
        name: str,
        pretrained: str | None = None,
        checkpoint: Path | None = None,
        quickgelu: bool | None = None,
        config: Path | None = None,
        weights_key: str | None = None,
    ) -> None:
        self._where = f"open_clip:{name}"
        arch, tag = (name, None) if config is not None else split_name(name)
        if tag and pretrained and tag != pretrained:
            raise OptionError(f"{self._where}: pretrained is '{pretrained}', but the name says '{tag}'")
        hub = arch.startswith(HUB_SCHEMES)
        if hub and (pretrained or checkpoint):
            raise OptionError(
                f"{self._where}: weights come from the repository; leave pretrained and checkpoint out"
            )
        if config is None and not hub and arch not in (known := list_open_clip_architectures()):
            raise OptionError(
                f"{self._where}: open_clip has no architecture '{arch}'{did_you_mean(arch, known)}"
            )
        if config is not None and pretrained:
            raise OptionError(
                f"{self._where}: an architecture from a config has no tags; give checkpoint=FILE"
            )
        self.name = name
        self.architecture = arch
        self.tag = tag or pretrained
        check_weights_key(self._where, weights_key, checkpoint)
        self.checkpoint = checkpoint
        self.quickgelu = quickgelu
        self.config = config
        self.weights_key = weights_key
        random = not (self.tag or checkpoint or hub)
        self.remarks = ["random weights: neither a tag nor a checkpoint is given"] if random else []
        self.preparation: Preparation | None = None
        self.logit_bias: float | None = None
        self.tokenizer: Any = None
        self._module: Any = None
        self._transform: Any = None

    def unavailable(self) -> str | None:
        """Return why a file named in the options can't be used, or None; planning downloads nothing."""
        library_reads = self.checkpoint is not None and is_big_vision(self.checkpoint)
        return self._find_config_problem() or (
            None if library_reads else explain_missing_file(self._where, self.checkpoint)
        )

    def _find_config_problem(self) -> str | None:
        if self.config is not None and not self.config.is_file():
            return f"{self._where}: config {self.config} is not a file; give the path of a JSON model config"
        folder = parse_folder(self.architecture)
        return None if folder is None else find_folder_problem(self._where, folder, "open_clip_config.json")

    def fingerprint(self) -> str:
        """Return digests of checkpoint, config and folder; without a checkpoint also open_clip's version, for its tags."""
        parts = [f"sha256:{digest(p)}" for p in (self.checkpoint, self.config) if p is not None]
        if (folder := parse_folder(self.architecture)) is not None:
            parts.append(f"folder:{folder_digest(folder)}")
        if self.checkpoint is None:
            parts.append(f"open_clip {version('open_clip_torch')}")
        return " ".join(parts)

    def load(self, device: torch.device) -> None:
        """Build both towers and the tokenizer, load the weights, and move the towers to `device`.

        Raises `Unavailable` for weights that can't be obtained, `OptionError` for weights that don't fit.
        """
        import open_clip
        import torch

        if problem := self._find_config_problem():
            raise Unavailable(problem)
        arch, preprocess = self._register_config(open_clip)
        tag = self._find_tag_config(open_clip, arch)
        weights: Path | None = None
        with explain_weights_download(self._where, _REMEDY):
            if tag and self.checkpoint is None:
                weights = Path(open_clip.pretrained.download_pretrained(tag))
        if tag:
            preprocess = open_clip.transform.merge_preprocess_dict(preprocess, tag)
        with (
            torch.random.fork_rng(devices=[]),
            explain_weights_download(self._where, _REMEDY),
            _silence_random_weights_warning(),
        ):
            torch.manual_seed(derive_seed("open_clip", self.name))
            try:
                model = open_clip.create_model(
                    arch,
                    pretrained=None if weights is None else str(weights.absolute()),
                    force_preprocess_cfg=preprocess,
                    pretrained_text=False,
                    # a repository without weights would be left with random ones
                    require_pretrained=arch.startswith(HUB_SCHEMES),
                    weights_only=True,
                    **self._activation_options(open_clip, arch, tag),
                )
                self.tokenizer = open_clip.get_tokenizer(arch)
            except OSError:
                raise  # a download or a missing file: the surrounding `downloading` explains it
            except Exception as error:  # reading, converting and building raise different errors
                if weights is not None:
                    raise make_unusable_error(self._where, weights, error) from error
                raise OptionError(f"{self._where}: open_clip can't build it: {one_line(error)}") from error
        if self.checkpoint is not None:
            self.remarks = load_checkpoint(self._where, self.checkpoint, model, self.weights_key)
        settings = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
        self._transform = open_clip.transform.image_transform_v2(settings, is_train=False)
        self.preparation = build_open_clip_preparation(settings)
        self._module = model.to(device).eval()
        self.logit_scale = float(model.logit_scale.detach().exp())
        bias = getattr(model, "logit_bias", None)
        self.logit_bias = None if bias is None else float(bias.detach())

    def _register_config(self, open_clip: Any) -> tuple[str, dict[str, Any]]:
        """Register the config, if any; return open_clip's name of the architecture and the config's preprocessing."""
        if self.config is None:
            return self.architecture, {}
        try:
            found = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(
                f"{self._where}: config {self.config} is not a JSON file: {one_line(error)}"
            ) from error
        model = found.get("model_cfg", found) if isinstance(found, dict) else {}
        if absent := [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in model]:
            raise OptionError(
                f"{self._where}: config {self.config} has no '{absent[0]}' "
                "(it needs embed_dim, vision_cfg and text_cfg)"
            )
        # open_clip builds only from its registry of files; a name derived from the content can't collide
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / f"config-{digest(self.config)[:16]}.json"
            own.write_text(json.dumps(model), encoding="utf-8")
            open_clip.add_model_config(own)
        return own.stem, found.get("preprocess_cfg", {})

    def _find_tag_config(self, open_clip: Any, arch: str) -> dict[str, Any]:
        if self.tag is None:
            return {}
        found: dict[str, Any] = open_clip.get_pretrained_cfg(arch, self.tag)
        if not found:
            known = open_clip.list_pretrained_tags_by_model(arch)
            raise OptionError(
                f"{self._where}: {arch} has no weights '{self.tag}'{did_you_mean(self.tag, known)}"
            )
        return found

    def _activation_options(self, open_clip: Any, arch: str, tag: dict[str, Any]) -> dict[str, bool]:
        """Return open_clip's arguments for QuickGELU, x·σ(1.702x), if it differs from the architecture's."""
        if arch.startswith(HUB_SCHEMES):
            return {} if self.quickgelu is None else {"quick_gelu": self.quickgelu}
        built_with = bool(open_clip.get_model_config(arch).get("quick_gelu", False))
        wanted = built_with if self.quickgelu is None else self.quickgelu
        if tag and self.quickgelu is None:
            wanted = bool(tag.get("quick_gelu", False))
        if wanted == built_with:
            return {}
        return {"force_quick_gelu": True} if wanted else {"quick_gelu": False}

    @property
    def module(self) -> torch.nn.Module:
        """The open_clip model, both towers (after `load`)."""
        module: torch.nn.Module = self._module
        return module

    @property
    def clip(self) -> Any:
        """The same open_clip model, for methods that modify its towers (after `load`)."""
        return self._module

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Apply open_clip's own evaluation transform; return 3×H×W."""
        prepared: torch.Tensor = self._transform(image)
        return prepared

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return unnormalised embeddings B×D in the joint space of prepared images B×3×H×W."""
        features: torch.Tensor = self._module.encode_image(images)
        return features

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unnormalised text embeddings B×D in the joint space, computed `TEXTS_AT_ONCE` at a time."""
        import torch

        return torch.cat([self._module.encode_text(ids) for ids in self._token_ids(texts)])

    @property
    def context_length(self) -> int:
        """Number of tokens the model reads of a text (after `load`)."""
        return int(self.tokenizer.context_length)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text before it is cut."""
        from harness_open_clip.tokens import token_counts

        return token_counts(self.tokenizer, texts)

    def encode_image_tokens(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `encode_image`'s embeddings B×E and the tower's last patches B×P×D, in one pass."""
        from harness_open_clip.tokens import image_tokens

        return image_tokens(self._module, images)

    def encode_text_tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return `encode_text`'s embeddings B×E, the tower's last tokens B×T×D and their mask, in one pass."""
        import torch

        from harness_open_clip.tokens import text_tokens

        parts = zip(*(text_tokens(self._module, ids) for ids in self._token_ids(texts)), strict=True)
        pooled, tokens, mask = (torch.cat(part) for part in parts)
        return pooled, tokens, mask

    def _token_ids(self, texts: Sequence[str]) -> Iterator[torch.Tensor]:
        device = next(self._module.parameters()).device
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            yield self.tokenizer(list(texts[start : start + TEXTS_AT_ONCE])).to(device)


@contextmanager
def _silence_random_weights_warning() -> Iterator[None]:
    """Suppress open_clip's warning of random weights: a checkpoint replaces them, or a remark states them."""

    def is_wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("No pretrained weights loaded")

    root = logging.getLogger()
    root.addFilter(is_wanted)
    try:
        yield
    finally:
        root.removeFilter(is_wanted)


def build_open_clip_preparation(settings: Any) -> Preparation | None:
    """Convert open_clip's `PreprocessCfg` to an equivalent `Preparation`; return None if there is none.

    A `Preparation` can resize the shorter side to a square's, or both sides ("squash"); it can't pad
    the longest side, or keep the aspect ratio with a non-square target.
    """
    size = settings.size
    height, width = (size, size) if isinstance(size, int) else size
    if settings.resize_mode == "longest" or (settings.resize_mode == "shortest" and height != width):
        return None
    mean, std = ((v,) * 3 if isinstance(v, float) else tuple(v) for v in (settings.mean, settings.std))
    return Preparation(
        resize=(height, width) if settings.resize_mode == "squash" else height,
        crop=(height, width),
        interpolation="bilinear" if settings.interpolation == "bilinear" else "bicubic",
        mean=mean,
        std=std,
    )


__all__ = ["OpenClipModel", "build_open_clip_preparation"]
