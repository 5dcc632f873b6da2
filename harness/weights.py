"""Checkpoint files: their digest, safe reading, loading with one clear line when they don't fit."""

from __future__ import annotations

import logging
import pickle
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from harness.content import bytes_digest
from harness.errors import DataError, OptionError, Unavailable

if TYPE_CHECKING:
    import torch

_CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_WRAPPERS = ("_orig_mod.", "module.")


def one_line(error: BaseException, limit: int = 300) -> str:
    """An exception's text on one line, shortened to `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def missing_file(where: str, path: Path | None) -> str | None:
    """Why a checkpoint can't be used, or None when there is nothing to say."""
    if path is None or path.is_file():
        return None
    return f"{where}: checkpoint {path} is not a file; give the path of a .safetensors or torch weights file"


def digest(path: Path) -> str:
    """SHA-256 of a file, which is read again only when it has been touched.

    Raises `Unavailable` when the file can't be read.
    """
    try:
        return bytes_digest(path)
    except DataError as error:
        raise Unavailable(f"checkpoint {one_line(error)}") from error


def read_weights(where: str, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors or torch file by name; nothing in it is executed.

    Training checkpoints are opened (the averaged weights are preferred when there are some), and the
    prefixes that `torch.compile` and data-parallel training put before the names are taken off.
    Raises `Unavailable` for a missing file, `OptionError` for one that isn't plain weights.
    """
    import torch

    if problem := missing_file(where, path):
        raise Unavailable(problem)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(path, device="cpu")
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors has an exception class of its own, torch raises many
        raise unusable(where, path, error) from error
    for container in _CONTAINERS:
        if isinstance(found, Mapping) and isinstance(found.get(container), Mapping):
            found = found[container]
            break
    if not isinstance(found, Mapping) or not found:
        raise OptionError(f"{where}: checkpoint {path} holds no named weights")
    state = {_bare(str(name)): value for name, value in found.items()}
    odd = next((name for name, value in state.items() if not isinstance(value, torch.Tensor)), None)
    if odd is not None:
        raise OptionError(f"{where}: checkpoint {path} holds '{odd}', which is not a tensor")
    return state


def unusable(where: str, path: Path, error: Exception) -> OptionError:
    """What went wrong when a checkpoint was read or loaded safely, as one line."""
    if isinstance(error, pickle.UnpicklingError) or "TorchScript" in str(error):
        problem = (
            "holds more than plain weights, and loading it could run code; save its state_dict as safetensors"
        )
    elif isinstance(error, RuntimeError) and "state_dict" in str(error):
        problem = f"does not fit the architecture: {one_line(error)}"
    else:
        problem = f"can't be read as weights: {one_line(error)}"
    return OptionError(f"{where}: checkpoint {path} {problem}")


def _bare(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def load_weights(
    where: str, path: Path | str, module: torch.nn.Module, state: Mapping[str, torch.Tensor]
) -> None:
    """Put `state` into `module`, all of it; `OptionError` names the first difference of each kind.

    Batch norm's `num_batches_tracked`, which files from before it existed lack, may be missing.
    """
    expected = module.state_dict()
    counters = {n: v for n, v in expected.items() if n.endswith(".num_batches_tracked")}
    state = {**counters, **state}
    problems = []
    shapes = [n for n, v in state.items() if n in expected and v.shape != expected[n].shape]
    if shapes:
        name = shapes[0]
        problems.append(
            f"{len(shapes)} tensors of another shape (first: {name} is {tuple(state[name].shape)}, "
            f"expected {tuple(expected[name].shape)})"
        )
    for words, names in (
        ("missing", [n for n in expected if n not in state]),
        ("unexpected", [n for n in state if n not in expected]),
    ):
        if names:
            problems.append(f"{len(names)} {words} (first: {names[0]})")
    if problems:
        raise OptionError(f"{where}: checkpoint {path} does not fit the architecture: {'; '.join(problems)}")
    module.load_state_dict(state)


@contextmanager
def downloading(where: str, remedy: str) -> Iterator[None]:
    """Turn a failing download inside the block into one `Unavailable` line that ends in `remedy`.

    Without a network the hub client would retry each file for most of a minute, even for files it has
    already got; so when its host can't be resolved (and no proxy is set), only its cache is asked.
    """
    from huggingface_hub import constants

    network = logging.getLogger("huggingface_hub")
    before = constants.HF_HUB_OFFLINE, network.level
    if not _resolves(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
    network.setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:
        # the hub's client lets some errors of its own client for HTTP through, which are no OSErrors
        if not isinstance(error, OSError) and not type(error).__module__.startswith("httpx"):
            raise
        raise Unavailable(
            f"{where}: weights are not on this machine and can't be downloaded "
            f"({type(error).__name__}: {one_line(error, 120)}); {remedy}"
        ) from error
    finally:
        constants.HF_HUB_OFFLINE = before[0]
        network.setLevel(before[1])


def _resolves(address: str) -> bool:
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urlparse(address).hostname, 443)
    except OSError:
        return False
    return True
