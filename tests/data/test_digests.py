"""Fingerprints of files below a folder: their names in order, and every byte of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.discovery.content import content_digest
from harness.errors import DataError
from harness_data.digests import files_digest, list_files_below, text_digest


def test_parts_do_not_run_together():
    assert text_digest(["ab", "c"]) != text_digest(["a", "bc"])


@given(data=st.binary(min_size=1, max_size=300), where=st.integers(0), bit=st.integers(0, 7))
def test_any_bit_counts(data, where, bit, tmp_path_factory):
    file = tmp_path_factory.mktemp("any") / "file"
    file.write_bytes(data)
    before = content_digest(file)
    changed = bytearray(data)
    changed[where % len(data)] ^= 1 << bit
    file.write_bytes(changed)
    assert content_digest(file) != before
    file.write_bytes(data)
    assert content_digest(file) == before


def test_a_file_that_is_not_there_takes_part_or_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    whole = files_digest(tmp_path, ["a", "b"])
    (tmp_path / "b").write_bytes(b"b")
    assert files_digest(tmp_path, ["a", "b"]) != whole
    with pytest.raises(DataError, match=r"gone: can't be read \(No such file"):
        content_digest(tmp_path / "gone")


def test_files_below_leaves_out_hidden_ones_and_loops(tmp_path):
    for name in ("b/x.bin", "a.bin", ".hidden", "b/.git/x", "b/archive.ZIP"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert list_files_below(tmp_path, (".zip",)) == ["a.bin", "b/x.bin"]
    assert list_files_below(tmp_path / "a.bin") == [""]
    assert files_digest(tmp_path / "a.bin", [""]) == files_digest(Path(tmp_path / "a.bin"), [""])
