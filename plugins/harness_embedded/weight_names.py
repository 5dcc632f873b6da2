"""Names of the files that hold trained weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version


def name_weights_file(model: str, recipe: Mapping[str, object]) -> str:
    """Return a file name that identifies a model, its recipe, and the libraries that affect the weights."""
    libraries = {name: version(name) for name in ("torch", "timm", "open_clip_torch", "numpy")}
    told = json.dumps([dict(recipe), libraries], sort_keys=True, default=str)
    return f"{model}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.safetensors"
