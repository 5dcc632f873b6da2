"""Fingerprints of large files: sampled, and still sensitive where they look."""

from harness_data.digests import BLOCK, file_digest, text_digest


def test_parts_do_not_run_together():
    assert text_digest(["ab", "c"]) != text_digest(["a", "bc"])


def test_sampled_digest_sees_size_start_and_end(tmp_path):
    base = bytearray(20 * BLOCK)
    digests = set()
    for name, change in (("same", None), ("first", 0), ("last", len(base) - 1)):
        content = bytearray(base)
        if change is not None:
            content[change] = 1
        (tmp_path / name).write_bytes(content)
        digests.add(file_digest(tmp_path / name, blocks=4))
    (tmp_path / "longer").write_bytes(base + b"\0")
    digests.add(file_digest(tmp_path / "longer", blocks=4))
    assert len(digests) == 4
