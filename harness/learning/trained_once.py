"""Networks that are trained on first use, and whose weights are kept in a file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from torch import nn

from harness.long_work import long_work
from harness.records.files import cache_lock, write_cached
from harness.running import devices

log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)


def train_once(
    module: Network, path: Path, train: Callable[[Network], object], *, one_thread: bool = True
) -> None:
    """Fill a module on the CPU with the weights at a path; if there are none, train it and write them.

    An unreadable or unfitting file is replaced with a warning. Of several processes that want the same
    weights, one trains and the others wait. With `one_thread`, the last bits of the weights do not depend on
    the number of cores.
    """
    with cache_lock(path):
        if not _load_weights_file(module, path):
            with devices.one_thread() if one_thread else nullcontext():
                _train_and_keep(module, path, train)


def _load_weights_file(module: nn.Module, path: Path) -> bool:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.exists():
        return False
    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        log.warning("%s can't be used (%s); the model is trained again", path, reason)
        return False
    return True


def _train_and_keep(module: Network, path: Path, train: Callable[[Network], object]) -> None:
    from safetensors.torch import save_file

    began, cpu = time.perf_counter(), time.process_time()
    name = path.stem.rpartition("-")[0] or path.stem
    with long_work(f"training {name}, once: its weights are kept in the cache"):
        train(module)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    log.info("trained %s in %.1f s (%.1f s of CPU time)", path.name, seconds, cpu)
    tensors = {name: t.contiguous() for name, t in module.state_dict().items()}
    write_cached(path, lambda temporary: save_file(tensors, temporary))
