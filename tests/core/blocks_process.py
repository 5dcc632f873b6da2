"""A process that gets an array of 60 rows in blocks of ten from a cache, and writes down each block that it begins.

Arguments: a folder, the process's name, and options as JSON: `hang` is the first row of a block that never ends,
`together` how many processes must have begun a block before the first one ends.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness.inference.blocks import InBlocks
from harness.inference.features import FeatureCache


def main(folder: Path, name: str, options: dict[str, Any]) -> None:
    def names() -> set[str]:
        return {line.split()[0] for line in (folder / "log").read_text().splitlines()}

    def compute(start: int, stop: int, advance: Any) -> Any:
        log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, f"{name} {start}\n".encode())
        os.close(log)
        while start == options.get("hang") or len(names()) < options.get("together", 1):
            time.sleep(0.02)
        return np.arange(start, stop, dtype=np.float32)[:, None] * [1, 10]

    FeatureCache(folder / "cache").get({"what": "embeddings"}, InBlocks(60, 5, "cpu", compute, batches=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
