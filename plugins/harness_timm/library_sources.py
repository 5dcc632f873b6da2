"""Names of the models that an installed library registers, read from its sources without importing it."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

from harness import Unavailable

# timm writes `@register_model`, torchvision `@register_model()`; further decorators may follow.
_REGISTERED = re.compile(
    r"^@register_model(?:\([^)]*\))?\s*\n(?:[@)\s].*\n|\s+.*\n|\w+=.*\n)*?def (\w+)\(", re.M
)
_RENAMED = re.compile(r"register_model_deprecations\(__name__, \{(.*?)\}\)", re.S)


@cache
def package_folder(package: str) -> Path:
    """Return the folder of a top-level package, without importing it. Raises Unavailable if it is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Unavailable(f"the package {package} is not installed")
    return Path(spec.origin).parent


@cache
def registered_models(package: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the model names in `package/models/*.py`: those registered, and old names that still work."""
    current: set[str] = set()
    renamed: set[str] = set()
    for source in (package_folder(package) / "models").glob("*.py"):
        text = source.read_text(encoding="utf-8")
        current.update(_REGISTERED.findall(text))
        for block in _RENAMED.findall(text):
            renamed.update(re.findall(r"'(\w+)':", block))
    return frozenset(current), frozenset(renamed)
