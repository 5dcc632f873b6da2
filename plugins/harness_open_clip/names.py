"""Names of open_clip's architectures, read from the installed files without importing it."""

from __future__ import annotations

from functools import cache

from harness_timm.library_sources import package_folder

HUB_SCHEMES = ("hf-hub:", "local-dir:")


@cache
def list_open_clip_architectures() -> frozenset[str]:
    """Return all architectures that the installed open_clip has a model config for."""
    return frozenset(file.stem for file in (package_folder("open_clip") / "model_configs").glob("*.json"))


def split_name(name: str) -> tuple[str, str | None]:
    """Split `ARCH` or `ARCH/TAG` into architecture and tag.

    OpenAI's own spelling with a slash, `ViT-B/32`, is understood.

    >>> split_name("ViT-B-32/laion2b_s34b_b79k")
    ('ViT-B-32', 'laion2b_s34b_b79k')
    """
    if name.startswith(HUB_SCHEMES) or "/" not in name:
        return name, None
    whole = name.replace("/", "-")
    if whole in list_open_clip_architectures():
        return whole, None
    architecture, tag = name.rsplit("/", 1)
    return architecture.replace("/", "-"), tag
