"""The data set `hateful-memes`: memes whose image and text are often harmless alone and hateful together.

Kiela et al., "The Hateful Memes Challenge", NeurIPS 2020.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness_data.pairs import PairFolder
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.pair_tables import PairTable

COLUMNS = {"id": "id", "label": "label", "text": "text", "image": "img"}


class HatefulMemes(PairFolder):
    """Hateful Memes from its folder: `train.jsonl`, `dev*.jsonl`, `test*.jsonl` beside `img/`.

    Splits: `train`, `val` (the file `dev`), `test`. If the test file has no labels, its memes form the
    split `unlabelled`.

    Args:
        path: the folder of the files, itself or below $HARNESS_DATA_ROOT.
        phase: `seen` reads `dev_seen.jsonl` and `test_seen.jsonl` (in older copies `dev.jsonl` and `test.jsonl`),
            `unseen` the `_unseen` files of the challenge's second phase.
    """

    _expected_kinds = ("image without id",)  # images of the other phase

    def __init__(self, path: Path, *, phase: Literal["seen", "unseen"] = "seen") -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.phase = phase

    @property
    def _classes(self) -> list[str]:
        return ["0", "1"]

    @property
    def _known_classes(self) -> list[str]:
        return self._classes

    @property
    def _class_names(self) -> list[str]:
        return ["not hateful", "hateful"]

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        missing = [name for name, file in self._find_files().items() if file is None]
        if not missing:
            return None
        return (
            f"{self.path}: no file for {' and '.join(missing)} (train.jsonl, dev_{self.phase}.jsonl, "
            f"test_{self.phase}.jsonl); get the data from the Hateful Memes Challenge and unpack it there"
        )

    def _find_files(self) -> dict[str, Path | None]:
        plain = ("",) if self.phase == "seen" else ()
        found: dict[str, Path | None] = {}
        for split, stem, endings in (
            ("train", "train", ("",)),
            ("val", "dev", (f"_{self.phase}", *plain)),
            ("test", "test", (f"_{self.phase}", *plain)),
        ):
            files = (self.path / f"{stem}{ending}.jsonl" for ending in endings)
            found[split] = next((file for file in files if file.is_file()), None)
        return found

    def _read_tables(self) -> dict[str, PairTable]:
        from harness_data.pair_tables import read_table

        tables = {}
        for split, file in self._find_files().items():
            if file is not None:
                # a test file may lack the column of labels
                columns = COLUMNS if split == "train" else COLUMNS | {"label": None}
                tables[split] = read_table(file, columns)
        return tables
