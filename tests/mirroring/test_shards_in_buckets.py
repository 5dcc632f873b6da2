"""Shards in an S3 bucket: the same samples as on disk, and as numbers in a record without a key."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import harness
from harness_data.webdatasets import WebDataset


def fill(folder: Path) -> None:
    """Two shards in the layout of `webdataset`."""
    (folder / "test").mkdir(parents=True)
    for number in range(2):
        with tarfile.open(folder / "test" / f"{number}.tar", "w") as tar:
            for n in range(3):
                file = io.BytesIO()
                noise = np.random.default_rng(10 * number + n).integers(0, 256, (20, 20, 3), np.uint8)
                Image.fromarray(noise).save(file, "PNG")
                for name, data in ((f"s{n}.png", file.getvalue()), (f"s{n}.cls", str(n % 2).encode())):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    (folder / "test" / "nshards.txt").write_text("2")
    (folder / "classnames.txt").write_text("cat\ndog\n")


def test_the_same_samples_and_numbers(url: str, boto: Any, tmp_path: Path) -> None:
    fill(tmp_path / "data")
    bucket, folder = url.removeprefix("s3://").split("/", 1)
    for path in (p for p in (tmp_path / "data").rglob("*") if p.is_file()):
        key = f"{folder}/{path.relative_to(tmp_path / 'data').as_posix()}"
        boto.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    local, remote = WebDataset(tmp_path / "data").load("test"), WebDataset(Path(url)).load("test")
    assert list(remote.ids) == list(local.ids)
    assert [s.image.data for s in remote] == [s.image.data for s in local]
    suite = {
        "name": "shards", "protocol": "classification", "models": ["tiny-clip"], "metrics": ["top1", "nll"],
        "datasets": [f"webdataset:{tmp_path / 'data'}", f"webdataset:{url}/test/{{0..1}}.tar"],
    }  # fmt: skip
    outcome = harness.run(suite, store=tmp_path / "store", device="cpu", progress=False)
    one, other = outcome.records
    assert (one.status, one.metrics) == ("ok", other.metrics)
    assert not any(b"verysecret" in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
