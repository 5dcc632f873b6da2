"""Trained weights of the tiny models that the package contains: what training changed of each tensor.

A file holds changed tensors whole, or `NAME#rows` and `NAME#values` where training changed few rows (of the
token embedding, those of the words in the captions). All else is as the model's seed initialises it.
`python -m harness_embedded.package_weights` trains the models and writes the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError

if TYPE_CHECKING:
    from torch import Tensor, nn

FOLDER = Path(__file__).parent / "weights"


def name_packaged_file(model: str, recipe: str, options: Mapping[str, object]) -> Path:
    """Return the path of the packaged weights of a model with these options, whether or not there are any."""
    told = [f"{name}-{value}" for name, value in options.items()]
    return FOLDER / f"{'_'.join([model, *told, recipe])}.safetensors"


@lru_cache(maxsize=64)
def digest_packaged_file(path: Path) -> str | None:
    """Return the start of the file's SHA-256, or None if the package has no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else None


def find_changes(initial: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a file holds: changed tensors, and changed rows of those that mostly stay."""
    import torch

    found = {}
    for name, value in trained.items():
        if torch.equal(value, initial[name]):
            continue
        rows = (value != initial[name]).flatten(1).any(1).nonzero()[:, 0] if value.ndim > 1 else None
        if rows is not None and 2 * len(rows) < len(value):
            found[f"{name}#rows"], found[f"{name}#values"] = rows.int(), value[rows].contiguous()
        else:
            found[name] = value.contiguous()
    return found


def load_changes(module: nn.Module, path: Path) -> None:
    """Bring a newly initialised module to its packaged weights. Raises DataError if the file is damaged."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state = module.state_dict()
    try:
        changes = load_file(path)
        with torch.no_grad():
            for name, value in changes.items():
                whole, _, part = name.partition("#")
                if not part:
                    state[whole].copy_(value)
                elif part == "values":
                    state[whole][changes[f"{whole}#rows"].long()] = value
    except (OSError, SafetensorError, KeyError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: the packaged weights are damaged ({reason}): install again") from None
