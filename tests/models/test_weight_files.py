"""Files given for weights: read by content whatever their suffix, and called what they are if they are none."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path, PosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from harness.errors import OptionError, Unavailable
from harness.inference.weights import explain_missing_file, make_unusable_error, read_weights

STATE = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.tensor([0.5, -1.0])}


def torch_bytes(content: Any, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"))
    return buffer.getvalue()


def archived() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


INDEX = {
    "metadata": {},
    "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
}
NONE = [
    ("w.pth", b"", "is empty: download it again"),
    ("w.pth", b"\n <!DOCTYPE html><html>virus scan warning</html>", "is an HTML page, no weights: download it again"),
    ("w.safetensors", b"\xef\xbb\xbf<HTML>sign in</HTML>", "is an HTML page"),
    ("w.pth", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML page"),
    ("w.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:a\n", "is a Git LFS pointer: git lfs pull"),
    ("w.bin", b'{"error": "Repository not found"}', r'is a JSON text, no weights \(\{"error": "Repository not found"\}\)'),
    ("model.safetensors.index.json", json.dumps(INDEX).encode(), "is the index of weights in 2 parts"),
    ("w.pth", gzip.compress(b"weights", mtime=0), "is compressed by gzip: unpack it first"),
    ("w.pth.tar", tarred(), "is a tar archive: unpack it first"),
    ("w.pth", zipped(w__pth=b"x"), "is a zip archive around w.pth: unpack it first"),
    ("w.npz", archived(), r"is a NumPy archive \(\.npz\)"),
    ("w.keras", zipped(config__json=b"{}", model__weights__h5=b""), "is a Keras model"),
    ("w.h5", b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file"),
    ("w.gguf", b"GGUF\x03\0\0\0" + bytes(50), "is a GGUF file"),
    ("w.onnx", b"\x08\x07\x12\x07pytorch" + bytes(50), "is an ONNX graph"),
    ("w.msgpack", b"\x81\xa6params" + bytes(50), "is a Flax checkpoint"),
    ("w.pth", bytes(5000), "begins with 4096 zero bytes"),
    ("w.safetensors", save(STATE)[:-1], "is cut short, [0-9]+ of [0-9]+ bytes: download it again"),
    ("w.safetensors", save(STATE)[:40], "is cut short, in its header"),
    ("w.pth", torch_bytes(STATE)[:-100], "is cut short or damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "said"), NONE)
def test_what_is_no_file_of_weights_is_called_so_at_planning_and_loading(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    told = explain_missing_file("timm:x", path) or ""
    assert told.startswith(f"timm:x: checkpoint {path} is ") or "begins" in told
    with pytest.raises(OptionError, match=said) as caught:
        read_weights("timm:x", path)
    assert str(caught.value) == told
    assert "\n" not in told


def test_a_folder_and_a_missing_file_are_told(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    assert "is a folder: give one file of weights in it, such as model.safetensors" in (
        explain_missing_file("timm:x", tmp_path) or ""
    )
    with pytest.raises(Unavailable, match="is not a file"):
        read_weights("timm:x", tmp_path / "gone.pth")
    assert explain_missing_file("timm:x", None) is None


def test_a_part_of_weights_says_so(tmp_path: Path) -> None:
    from harness.inference.weights import load_weights

    path = tmp_path / "model-00001-of-00002.safetensors"
    save_file({"weight": torch.ones(2, 3)}, path)
    network = torch.nn.Linear(3, 2)
    with pytest.raises(OptionError, match=r"it is part 1 of 2: join them; 1 missing \(first: bias\)"):
        load_weights("x", path, network, read_weights("x", path, network))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin", ".ckpt", ".tar", ""])
@pytest.mark.parametrize(
    "content", [torch_bytes(STATE), torch_bytes(STATE, new=False), save(STATE, {"format": "pt"})]
)
def test_content_decides_how_a_file_is_read(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    assert explain_missing_file("x", path) is None
    found = read_weights("x", path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[n], v) for n, v in STATE.items())
    assert not found.remarks


class Own:
    """A trainer's class."""


def test_settings_beside_the_weights_are_read_if_they_are_data_only(tmp_path: Path) -> None:
    data = {
        "args": argparse.Namespace(lr=0.1, out=PosixPath("runs")),
        "cfg": SimpleNamespace(depth=3),
        "best": np.float64(0.5),
        "epoch": np.int64(3),
    }
    for new in (True, False):
        (tmp_path / "w.pth").write_bytes(torch_bytes({"model": STATE, **data}, new))
        assert torch.equal(read_weights("x", tmp_path / "w.pth")["fc.bias"], STATE["fc.bias"])
        (tmp_path / "w.pth").write_bytes(torch_bytes({"model": STATE, "own": Own()}, new))
        with pytest.raises(
            OptionError, match=r"holds more than plain weights \(.*Own\), .*torch.save\(network"
        ):
            read_weights("x", tmp_path / "w.pth")
        (tmp_path / "w.pth").write_bytes(torch_bytes(torch.nn.Sequential(torch.nn.Linear(2, 2)), new))
        with pytest.raises(OptionError, match=r"plain weights \(it is a whole network\)"):
            read_weights("x", tmp_path / "w.pth")


WHOLE = [torch_bytes({"model": STATE, "epoch": 3}), torch_bytes(STATE, new=False), save(STATE)]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WHOLE), st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_file_cut_anywhere_is_never_read_and_mostly_said_to_be_cut(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, share: float, filled: bool
) -> None:
    size = int(share * len(whole))
    path = tmp_path_factory.mktemp("cut") / "w.pth"
    cut = whole[:size] + bytes((len(whole) - size) * (filled and whole[:2] == b"PK"))
    assume(cut != whole)
    path.write_bytes(cut)
    try:
        found = read_weights("x", path)
    except OptionError as error:
        text = str(error)
    else:  # of the last bytes of an archive, all is told twice: without them it is whole
        assert filled
        assert share > 0.95
        path.write_bytes(whole)
        assert repr(found) == repr(read_weights("x", path))
        return
    assert "\n" not in text
    assert any(w in text for w in ("is cut short", "is empty", "zero bytes")) or size < 32, text


def test_a_pickle_that_is_no_checkpoint_is_not_called_cut(tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": list(range(100))}, protocol=2))
    with pytest.raises(OptionError) as caught:
        read_weights("x", tmp_path / "w.pkl")
    assert "cut" not in str(caught.value)


def test_torchs_long_lists_become_counts(tmp_path: Path) -> None:
    network, other = (
        torch.nn.Linear(3, 2),
        {"weight": torch.ones(4, 3), "x": torch.ones(1), "y": torch.ones(1)},
    )
    with pytest.raises(RuntimeError) as caught:
        network.load_state_dict(other)
    said = str(make_unusable_error("x", tmp_path / "w.pth", caught.value))
    assert said.endswith(
        "does not fit the architecture: 1 tensor of another shape (first: weight); "
        "1 missing (first: bias); 2 unexpected (first: x)"
    )


def test_a_hole_in_a_file_is_damage_and_a_file_without_checksums_is_not(tmp_path: Path) -> None:
    state = {"weight": torch.arange(1.0, 5000.0)}
    whole = bytearray(torch_bytes(state))
    middle = len(whole) // 2
    whole[middle : middle + 4000] = bytes(4000)
    (tmp_path / "hole.pth").write_bytes(whole)
    with pytest.raises(OptionError, match=r"is damaged \(archive/data/0 is not what was written\)"):
        read_weights("x", tmp_path / "hole.pth")
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "bare.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_weights("x", tmp_path / "bare.pth")["weight"], state["weight"])
