"""Checkpoint files: digest, safe reading, and loading with a one-line error if they don't fit."""

from __future__ import annotations

import logging
import re
import socket
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from harness.discovery.content import bytes_digest
from harness.errors import DataError, OptionError, Unavailable
from harness.inference.weight_files import AGAIN, explain_no_weights, explain_unreadable, read_weight_file
from harness.inference.weights_in_checkpoints import Weights, find_fitting, find_largest
from harness.long_work import long_work

if TYPE_CHECKING:
    import torch


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return an exception's text on one line, shortened to `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def explain_missing_file(where: str, path: Path | None) -> str | None:
    """Return why a checkpoint can't be used, as far as its first bytes show, or None."""
    if path is None:
        return None
    if not path.exists():
        return (
            f"{where}: checkpoint {path} is not a file; give the path of a .safetensors or torch weights file"
        )
    try:
        problem = explain_no_weights(path)
    except OSError as error:
        problem = f"can't be read: {one_line(error)}"
    return problem and f"{where}: checkpoint {path} {problem}"


def check_weights_key(where: str, key: str | None, checkpoint: Path | None) -> None:
    """Raise OptionError for a `weights_key` without the checkpoint that it chooses within."""
    if key is not None and checkpoint is None:
        raise OptionError(f"{where}: weights_key chooses within a checkpoint; give checkpoint=FILE")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, which is read again only after a change.

    Raises `Unavailable` if the file can't be read.
    """
    try:
        return bytes_digest(path)
    except DataError as error:
        raise Unavailable(f"checkpoint {one_line(error)}") from error


def read_weights(
    where: str,
    path: Path,
    module: torch.nn.Module | None = None,
    key: str | None = None,
    optional: Collection[str] = (),
) -> Weights:
    """Return the tensors of a safetensors or torch file by name; nothing in it is executed.

    Training checkpoints are opened and wrappers' prefixes removed, by the rule of
    `harness.inference.weights_in_checkpoints`; the result's `remarks` say what was chosen. With `module`, the network they
    are meant for, its names decide; `optional` ones of it may be absent (a head's). `key` chooses among
    several places. Raises `Unavailable` for a missing file, `OptionError` for one without usable weights.
    """
    if not path.exists() and (problem := explain_missing_file(where, path)):
        raise Unavailable(problem)
    place = f"{where}: checkpoint {path}"
    content = read_weight_file(place, path)
    if not isinstance(content, Mapping) or not content:
        raise OptionError(f"{place} holds no named weights")
    try:
        found = None if module is None else find_fitting(content, module, key, optional)
        return find_largest(content, key) if found is None else found
    except OptionError as error:
        raise OptionError(f"{place} {error}") from error


def make_unusable_error(where: str, path: Path, error: Exception) -> OptionError:
    """Return a library's failure to read or load a checkpoint as a one-line OptionError."""
    if isinstance(error, RuntimeError) and "state_dict" in str(error):
        problem = f"does not fit the architecture: {_count_misfits(str(error)) or one_line(error)}"
    else:
        problem = explain_unreadable(path, error)
    return OptionError(f"{where}: checkpoint {path} {problem}")


def _count_misfits(text: str) -> str:
    """Return torch's lists of names that don't fit as counts with the first of each."""
    lists = [
        (word, re.findall(r'"([^"]+)"', names))
        for word, names in re.findall(r"(Missing|Unexpected) key\(s\) in state_dict: ([^\n]+)", text)
    ]
    found = [f"{len(names)} {word.lower()} (first: {names[0]})" for word, names in lists if names]
    shapes = re.findall(r"size mismatch for (\S+): copying a param with shape (\S+\(.*?\)) [^\n]*", text)
    if shapes:
        found.insert(0, f"{_tensors(shapes)} of another shape (first: {shapes[0][0]})")
    return "; ".join(found)


def load_weights(
    where: str, path: Path | str, module: torch.nn.Module, state: Mapping[str, torch.Tensor]
) -> None:
    """Put all of `state` into `module`; `OptionError` names the first difference of each kind.

    Numbers of lower precision are converted to the network's; integers (quantised weights) and weights that
    are NaN or infinite, or mostly zero, are refused. Batch norm's `num_batches_tracked`, which old files
    lack, may be missing.
    """
    expected = module.state_dict()
    counters = {n: v for n, v in expected.items() if n.endswith(".num_batches_tracked")}
    state = {**counters, **state}
    problems = []
    shapes = [n for n, v in state.items() if n in expected and v.shape != expected[n].shape]
    if shapes:
        name = shapes[0]
        problems.append(
            f"{_tensors(shapes)} of another shape (first: {name} is {tuple(state[name].shape)}, "
            f"expected {tuple(expected[name].shape)})"
        )
    for words, names in (
        ("missing", [n for n in expected if n not in state]),
        ("unexpected", [n for n in state if n not in expected]),
    ):
        if names:
            problems.append(f"{len(names)} {words} (first: {names[0]})")
    if problems:
        part = re.search(r"-(\d{5})-of-(\d{5})\.", Path(path).name)
        said = f"it is part {int(part[1])} of {int(part[2])}: join them; " if part else ""
        raise OptionError(
            f"{where}: checkpoint {path} does not fit the architecture: {said}{'; '.join(problems)}"
        )
    if problem := _explain_unsound(state, expected, {name for name, _ in module.named_parameters()}):
        raise OptionError(f"{where}: checkpoint {path} {problem}")
    module.load_state_dict(state)


def _explain_unsound(
    state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], parameters: Collection[str]
) -> str | None:
    """Return why tensors that fit by name and shape are unusable as weights, or None."""
    import torch

    plain = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    odd = [n for n, v in expected.items() if v.dtype in plain and state[n].dtype not in plain]
    if odd:
        kind = str(state[odd[0]].dtype).removeprefix("torch.")
        return f"holds {_tensors(odd)} of {kind}, not of plain numbers (first: {odd[0]}): quantised weights are not read"
    # NaN propagates to both extremes; one pass over the numbers
    ends = {n: torch.stack(v.aminmax()) for n, v in state.items() if v.is_floating_point() and v.numel()}
    # a mask among the buffers may well be infinite
    unfinished = [n for n, e in ends.items() if not (e.isfinite() if n in parameters else ~e.isnan()).all()]
    if unfinished:
        return f"holds {_tensors(unfinished)} with NaN or infinite numbers (first: {unfinished[0]})"
    matrices = [n for n in parameters if n in ends and state[n].ndim > 1]
    blank = sorted(n for n in matrices if not ends[n].any())
    if blank and 2 * len(blank) > len(matrices):
        return f"holds nothing but zeros in {len(blank)} of {len(matrices)} matrices (first: {blank[0]}): {AGAIN}"
    return None


def _tensors(names: Sized) -> str:
    return f"{len(names)} tensor{'s' * (len(names) != 1)}"


@contextmanager
def explain_weights_download(where: str, remedy: str) -> Iterator[None]:
    """Turn a failing download inside the block into one `Unavailable` line that ends in `remedy`.

    Without a network the hub client would retry each file for most of a minute, even files it has; so if its
    host can't be resolved (and no proxy is set), only its cache is used.
    """
    from huggingface_hub import constants

    network = logging.getLogger("huggingface_hub")
    before = constants.HF_HUB_OFFLINE, network.level
    if not _resolves(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
    network.setLevel(logging.ERROR)
    try:
        with long_work(
            f"reading the weights of {where}, which are downloaded if they are not on this machine"
        ):
            yield
    except Exception as error:
        # the hub's client lets through some errors of its HTTP client, which are no OSErrors
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
