"""Reading of weight files without executing anything in them, and recognition of files that are none."""

from __future__ import annotations

import argparse
import json
import pickle
import pickletools
import re
import types
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path, PosixPath
from typing import Any

from harness.errors import OptionError

AGAIN = "download it again"
UNPACK = "unpack it first"
_SAVE = "save them alone: torch.save(network.state_dict(), FILE), or safetensors' save_file"
_SCRIPT = (
    f"holds more than plain weights: it is a TorchScript archive, a program, and is not executed; {_SAVE}"
)
_HEAD = 4096
_SMALLEST = 32  # no file that holds a tensor is smaller

# What a file begins with, for kinds that are no PyTorch weights.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/", "is a Git LFS pointer: git lfs pull"),
    (b"\x1f\x8b", f"is compressed by gzip: {UNPACK}"),
    (b"BZh", f"is compressed by bzip2: {UNPACK}"),
    (b"\xfd7zXZ", f"is compressed by xz: {UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"is compressed by zstd: {UNPACK}"),
    (b"7z\xbc\xaf", f"is a 7z archive: {UNPACK}"),
    (b"Rar!", f"is a RAR archive: {UNPACK}"),
    (b"\x89HDF", "is an HDF5 file, as Keras writes them; only PyTorch's weights are read: convert it"),
    (b"GGUF", "is a GGUF file of a language model; only PyTorch's weights are read"),
    (b"\x93NUMPY", "is a NumPy array; only PyTorch's weights are read: convert it"),
)
# Kinds that show at the end of the name only: they are protocol buffers or message packs.
_SUFFIXES = {
    ".onnx": "an ONNX graph",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TensorFlow Lite model",
    ".ckpt.index": "a TensorFlow checkpoint's index",
    ".msgpack": "a Flax checkpoint",
    ".mlmodel": "a Core ML model",
    ".engine": "a TensorRT engine",
}
OLD_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle of a torch file from before zip archives
_HTML = (b"<!doctype html", b"<html", b"<head", b"<script", b"<meta", b"<body", b"<!--")


def explain_no_weights(path: Path) -> str | None:
    """Return what a file is if its beginning and size show that it holds no PyTorch weights, else None."""
    if path.is_dir():
        return f"is a folder: give one file of weights in it{_suggest_file(path)}"
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not size:
        return f"is empty: {AGAIN}"
    for beginning, said in _BEGINNINGS:
        if head.startswith(beginning):
            return said
    for suffix, kind in _SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return f"is {kind}; only PyTorch's weights are read: convert it"
    if not head.strip(b"\0") and size >= 8:
        return f"begins with {len(head)} zero bytes, no weights: {AGAIN}"
    if head.startswith(b"PK"):
        return _explain_zip(path)
    if _is_safetensors(head):
        return _explain_safetensors(path, size)
    return _explain_text(path, head) or (
        f"is cut short, {size} bytes: {AGAIN}" if size < _SMALLEST and not _is_text(head) else None
    )


def _suggest_file(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.suffix in (".safetensors", ".pth", ".pt", ".bin"))
    return f", such as {names[0]}" if names else ""


def _is_text(head: bytes) -> bool:
    return bool(head) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


def _explain_safetensors(path: Path, size: int) -> str | None:
    """Return that the file is cut short if it is shorter than its header says, else None."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 + length:
            return f"is cut short, in its header: {AGAIN}"
        try:
            header = json.loads(file.read(length))
            ends = [part["data_offsets"][1] for name, part in header.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError, IndexError):
            return None  # its reader says what is wrong with the header
    wanted = 8 + length + max(ends, default=0)
    return f"is cut short, {size:,} of {wanted:,} bytes: {AGAIN}" if size < wanted else None


def _explain_zip(path: Path) -> str | None:
    """Return what a zip archive is, or None for one that `torch.save` writes."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return f"is cut short or damaged, a zip archive without its end: {AGAIN}"
    last = [name.rpartition("/")[2] for name in names]
    if "data.pkl" in last:
        if "constants.pkl" in last or any("/code/" in name for name in names):
            return _SCRIPT
        return None
    if names and all(name.endswith(".npy") for name in names):
        return "is a NumPy archive (.npz), as JAX models come; only PyTorch's weights are read: convert it"
    if "config.json" in last and any(name.endswith(".h5") for name in last):
        return "is a Keras model; only PyTorch's weights are read: convert it"
    return f"is a zip archive{f' around {names[0]}' if names else ''}: {UNPACK}"


def _explain_text(path: Path, head: bytes) -> str | None:
    """Return that the file is a page or another text, else None."""
    if head[257:262] == b"ustar":
        return f"is a tar archive: {UNPACK}"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:15].lower().startswith(_HTML):
        return f"is an HTML page, no weights: {AGAIN}"
    if text.startswith(b"<?xml"):
        page = b"<html" in text.lower()
        return f"is an {'HTML' if page else 'XML'} page, no weights: {AGAIN}"
    if text.startswith((b"{", b"[")):
        return _explain_json(path)
    return None


def _explain_json(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    parts = found.get("weight_map") if isinstance(found, dict) else None
    if isinstance(parts, dict):
        return (
            f"is the index of weights in {len(set(parts.values()))} parts; "
            "join them to one file (safetensors' load_file and save_file)"
        )
    said = json.dumps(found)
    return f"is a JSON text, no weights ({said[:60]}{'…' * (len(said) > 60)}): {AGAIN}"


def read_weight_file(place: str, path: Path) -> Any:
    """Read a safetensors or torch file, whatever its suffix; nothing in it is executed.

    Raises OptionError, beginning with `place`, for a file that can't be read so.
    """
    import torch

    try:
        if problem := explain_no_weights(path):
            raise OptionError(f"{place} {problem}")
        with path.open("rb") as file:
            head = file.read(16)
        if _is_safetensors(head):
            from safetensors.torch import load_file

            return load_file(path, device="cpu")
        # by content alone: of a path torch believes the suffix
        with _allow_plain_records(), path.open("rb") as file:
            found = torch.load(file, map_location="cpu", weights_only=True)
        if head.startswith(b"PK") and (damaged := _find_damaged(path)):
            raise OptionError(f"{place} is damaged ({damaged} is not what was written): {AGAIN}")
        return found
    except OptionError:
        raise
    except OSError as error:
        raise OptionError(f"{place} can't be read: {error.strerror or error}") from error
    except Exception as error:  # safetensors has an exception class of its own, torch raises many
        raise OptionError(f"{place} {explain_unreadable(path, error)}") from error


def _find_damaged(path: Path) -> str | None:
    """Return the first tensor of a torch file that its checksum contradicts, which torch does not check.

    Torch can be told to write no checksums; then that of the first entry, the names, is wrong too.
    """
    with zipfile.ZipFile(path) as archive:
        bad = archive.testzip()
    return None if bad is None or bad.endswith("data.pkl") else bad


def _allow_plain_records() -> AbstractContextManager[Any]:
    """Allow data that trainers store beside the weights: settings and NumPy's numbers."""
    import numpy as np
    import torch

    core: Any = np._core if hasattr(np, "_core") else np.core
    scalar = core.multiarray.scalar
    kinds = {type(np.dtype(code)) for code in "?bhilqBHILQefd"}
    # files may name it by its module from before NumPy 2
    scalars = [(scalar, f"numpy.{module}.multiarray.scalar") for module in ("core", "_core")]
    plain: list[Any] = [
        argparse.Namespace,
        types.SimpleNamespace,
        PosixPath,
        np.dtype,
        *sorted(kinds, key=str),
    ]
    return torch.serialization.safe_globals([*plain, *scalars])


def explain_unreadable(path: Path, error: Exception) -> str:
    """Return what went wrong when a file was read safely, in words that follow its name."""
    text = " ".join(str(error).split())
    short = text if len(text) <= 200 else text[:199] + "…"
    if "TorchScript" in text:
        return _SCRIPT
    head = path.open("rb").read(64) if path.is_file() else b""
    if _is_cut(path, head, text):
        return f"is cut short: {AGAIN}"
    if _is_text(head):
        return f"can't be read as weights: it is a text that begins with {head[:40].decode()!r}"
    if isinstance(error, pickle.UnpicklingError):
        return f"holds more than plain weights{_describe_objects(path, text)}, and loading it could run code; {_SAVE}"
    return f"can't be read as weights: {short or type(error).__name__}"


def _is_cut(path: Path, head: bytes, text: str) -> bool:
    """Return whether a torch file from before zip archives ends too early: five pickles, then the numbers."""
    if not head.startswith(b"\x80"):
        return False
    if "unexpected EOF" in text:
        return True
    with path.open("rb") as file:
        for _ in range(5 if OLD_TORCH in head else 1):
            try:
                for _opcode in pickletools.genops(file):
                    pass
            except ValueError as error:
                return "unknown" not in str(error)
    return False


def _describe_objects(path: Path, text: str) -> str:
    """Return the classes and functions that a file needs beside tensors, or that it is a whole network."""
    import torch

    try:
        with _allow_plain_records():
            asked = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # files from before zip archives can't be looked through
        asked = re.findall(r"GLOBAL (\S+)", text)[:1]
    if any(name.startswith(("torch.nn.modules.", "torchvision.models.", "timm.")) for name in asked):
        return " (it is a whole network)"
    return f" ({', '.join(asked[:3])}{', …' * (len(asked) > 3)})" if asked else ""
