"""Weights that are trained on first use and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from harness_embedded.arrays import cache_folder

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)


def weights_name(model: str, recipe: Mapping[str, object]) -> str:
    """A file name for a model, its recipe, and the libraries whose code decides the weights."""
    libraries = {name: version(name) for name in ("torch", "timm", "open_clip_torch", "numpy")}
    told = json.dumps([dict(recipe), libraries], sort_keys=True, default=str)
    return f"{model}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.safetensors"


def load_or_train(module: nn.Module, name: str, train: Callable[[nn.Module], None]) -> None:
    """Fills a module (on the CPU) with the weights cached under a name, training it if there are none.

    A file that can't be read, or that doesn't fit, is replaced with a warning. Of two processes
    that want the same weights one trains, and the other waits for them.
    """
    from filelock import FileLock

    path = cache_folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        _load_or_train(module, path, train)


def _load_or_train(module: nn.Module, path: Path, train: Callable[[nn.Module], None]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    from harness.records.files import replacing
    from harness.running.devices import one_thread

    if path.exists():
        try:
            module.load_state_dict(load_file(path))
            return
        except (OSError, SafetensorError, RuntimeError) as error:
            log.warning("%s can't be used (%s); the model is trained again", path, str(error).splitlines()[0])
    began, cpu = time.perf_counter(), time.process_time()
    log.info("training %s, once; it is kept in the cache", path.name)
    with one_thread():
        train(module)
    log.info(
        "trained %s in %.1f s (%.1f s of CPU time)",
        path.name,
        time.perf_counter() - began,
        time.process_time() - cpu,
    )
    with replacing(path) as temporary:
        save_file({k: v.contiguous() for k, v in module.state_dict().items()}, temporary)
