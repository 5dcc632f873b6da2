"""The data set `huggingface`: Hugging Face `datasets` from the hub, or from a folder written by `save_to_disk`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError, EncodedImage, Sample, Unavailable
from harness.errors import did_you_mean
from harness_data.leftovers import note_unused_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

INSTALL = "pip install vision-harness[hub]"


class HubSplit:
    """A `Split` of the rows of a `datasets.Dataset`; ids are row numbers."""

    def __init__(
        self,
        rows: Any,
        image_column: str,
        targets: Sequence[int],
        where: str,
        class_names: Sequence[str] | None,
        templates: Sequence[str] | None,
    ) -> None:
        import numpy as np

        self.rows = rows
        self.image_column = image_column
        self.where = where
        self.targets = np.asarray(targets, dtype=np.int64)
        self.ids = [str(i) for i in range(len(rows))]
        self.class_names = class_names
        self.templates = templates
        classes = len(class_names) if class_names else int(self.targets.max()) + 1
        self.remarks = note_unused_labels(self.targets, classes, class_names)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        identity = self.ids[index]
        value, name = self.rows[index][self.image_column], f"{self.where}, row {identity}"
        if value is None:
            raise DataError(f"{name}: no image in column '{self.image_column}'")
        if isinstance(value, dict):
            value = read_encoded_cell(value, name)
        image = EncodedImage(value, name) if isinstance(value, bytes) else read_pixel_cell(value, name)
        return Sample(identity, image, int(self.targets[index]))


class HuggingFace:
    """A data set of the Hugging Face hub, or a local folder written by `save_to_disk`.

    Images stay encoded until they are needed. Class names come from the label's `ClassLabel` feature; text
    labels need `class_names`.

    Args:
        name: `<owner>/<name>` on the hub, or a folder.
        config: the configuration (subset) of a hub data set; unused for a folder.
        revision: a commit, tag or branch on the hub; give one so that later runs see the same data.
        splits: the splits (by default those of the folder, or `train` and `test` on the hub).
        image_column: the column of images.
        label_column: the column of labels, class indices or names.
        class_names: names in label order, as a list or in a file with one per line; overrides the feature's
            names.
        templates: zero-shot prompts with `{}` for the class name, as a list or in a file.
        label_space: the output space of supervised classifiers for these labels.
    """

    def __init__(
        self,
        name: str,
        *,
        config: str | None = None,
        revision: str | None = None,
        splits: list[str] | None = None,
        image_column: str = "image",
        label_column: str = "label",
        class_names: list[str] | Path | None = None,
        templates: list[str] | Path | None = None,
        label_space: str | None = None,
    ) -> None:
        """Store the options."""
        self.name = name
        self.config = config
        self.revision = revision
        self.image_column = image_column
        self.label_column = label_column
        self.class_names = class_names
        self.templates = templates
        self.label_space = label_space
        self._given_splits = splits

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits from the options or the folder; a folder with a single unnamed split has `test`."""
        if self._given_splits:
            return tuple(self._given_splits)
        return tuple(self._folders) or ("train", "test")

    @classmethod
    def recognise(cls, path: Path) -> dict[str, str] | None:
        """Return the options for a folder written by `save_to_disk`, or None."""
        files = ("dataset_dict.json", "dataset_info.json")
        return {"name": str(path)} if any((path / name).is_file() for name in files) else None

    def unavailable(self) -> str | None:
        """Return why it can't be used (the package or the folder is missing), or None."""
        if importlib.util.find_spec("datasets") is None:
            return f"reading Hugging Face data sets needs the package datasets: {INSTALL}"
        looks_local = self.name.startswith(("/", "./", "../", "~"))
        if (looks_local or self._path.is_dir()) and not self._folders:
            return f"{self.name}: no folder written by save_to_disk (dataset_dict.json or dataset_info.json)"
        return None

    def fingerprint(self) -> str:
        """Return a digest of a folder's data files, or of the hub's revision, which is all that is known."""
        from harness import content_digests
        from harness_data.class_names import read_lines, read_templates
        from harness_data.digests import files_digest, text_digest

        parts: list[object] = [*(read_lines(self.class_names) or []), *(read_templates(self.templates) or [])]
        for split, folder in self._folders.items():
            files = sorted(file.name for suffix in ("arrow", "json") for file in folder.glob(f"*.{suffix}"))
            parts += [split, files_digest(folder, files)]
            parts += content_digests(_list_external_images(folder, self.image_column))
        return text_digest([*parts, "" if self._folders else self.revision])

    @property
    def remarks(self) -> list[str]:
        """A warning that a hub data set without a revision may change."""
        if self._folders or self.revision:
            return []
        return ["no revision is given, so only its name identifies the data: changes on the hub go unnoticed"]

    def load(self, split: str) -> HubSplit:
        """Open one split, downloading it from the hub if it isn't cached.

        Raises Unavailable if the package, the folder or the network is missing; DataError for a
        missing split or column, or labels outside the class names.
        """
        from harness_data.class_names import read_templates
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise Unavailable(missing)
        check_split(split, self.splits, self.name)
        rows = self.open_rows(split)
        where = f"{self.name}, split {split}"
        for column in (self.image_column, self.label_column):
            if column not in rows.column_names:
                raise DataError(f"{where}: no column '{column}'{did_you_mean(column, rows.column_names)}")
        targets, names = self._read_labels(rows, where)
        return HubSplit(_disable_decoding(rows, self.image_column), self.image_column, targets, where, names,
                        read_templates(self.templates))  # fmt: skip

    @property
    def _path(self) -> Path:
        return Path(self.name).expanduser()

    @property
    def _folders(self) -> dict[str, Path]:
        """The folder of each split of a local data set; empty for one of the hub."""
        listed = self._path / "dataset_dict.json"
        if listed.is_file():
            return {name: self._path / name for name in _read_split_names(listed)}
        return {"test": self._path} if (self._path / "dataset_info.json").is_file() else {}

    def open_rows(self, split: str) -> Any:
        """Return the rows of a split, a `datasets.Dataset`. Raises Unavailable or DataError if they can't be loaded."""
        import datasets

        try:
            if split in self._folders:
                return datasets.load_from_disk(str(self._folders[split]))
            return datasets.load_dataset(self.name, self.config, split=split, revision=self.revision)
        except (OSError, datasets.exceptions.DatasetsError) as error:
            text = " ".join(str(error).split())
            raise Unavailable(
                f"{self.name}: can't be loaded ({text}); download it on a machine with a network, save it "
                "with save_to_disk, and give that folder"
            ) from None
        except ValueError as error:
            raise DataError(f"{self.name}: {' '.join(str(error).split())}") from None

    def _read_labels(self, rows: Any, where: str) -> tuple[list[int], list[str] | None]:
        from harness_data.class_names import read_lines

        values = list(rows[self.label_column])
        feature = rows.features[self.label_column]
        names = read_lines(self.class_names) or getattr(feature, "names", None)
        if not values:
            raise DataError(f"{where}: holds no samples")
        if all(isinstance(v, str) for v in values):
            if not names:  # numbers found in one split could differ in another
                raise DataError(
                    f"{where}: labels are texts ('{values[0]}', …); give class_names in label order"
                )
            number = {name: i for i, name in enumerate(names)}
            if strange := next((v for v in values if v not in number), None):
                raise DataError(
                    f"{where}: label '{strange}' is not among the class names{did_you_mean(strange, names)}"
                )
            return [number[v] for v in values], names
        classes = len(names) if names else None
        for row, value in enumerate(values):
            if not isinstance(value, int) or value < 0 or (classes is not None and value >= classes):
                among = f"outside 0..{classes - 1}" if classes else "not a class index"
                raise DataError(f"{where}, row {row}: label {value!r} is {among}")
        return values, names


def _list_external_images(folder: Path, column: str) -> list[str]:
    """List the image files that a folder's rows refer to by path instead of holding their bytes, in order."""
    import pyarrow

    paths: dict[str, None] = {}
    for file in sorted(folder.glob("*.arrow")):
        try:
            with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as rows:
                kind = rows.schema.field(column).type if column in rows.schema.names else None
                if kind is None or not pyarrow.types.is_struct(kind) or kind.get_field_index("path") < 0:
                    continue
                for batch in rows:
                    values = batch.column(column)
                    apart = values.filter(values.field("bytes").is_null())
                    paths |= dict.fromkeys(p for p in apart.field("path").to_pylist() if p)
        except (OSError, pyarrow.ArrowInvalid) as error:
            raise DataError(f"{file}: can't be read as rows ({' '.join(str(error).split())})") from None
    return list(paths)


def _read_split_names(listed: Path) -> list[str]:
    from harness_data.file_names import is_plain_name

    try:
        names = json.loads(listed.read_text(encoding="utf-8"))["splits"]
    except (OSError, ValueError, KeyError, TypeError):
        names = None
    if not isinstance(names, list) or not all(isinstance(n, str) and is_plain_name(n) for n in names):
        raise DataError(f"{listed}: expected the names of splits as save_to_disk writes them; save it again")
    return names


def read_pixel_cell(value: Any, name: str) -> NDArray[np.uint8]:
    """Return a row's pixels as uint8. Raises DataError unless they are whole numbers from 0 to 255."""
    import numpy as np

    try:
        found = np.asarray(value)
    except ValueError:  # rows of unequal length
        found = np.empty(0)
    if found.size == 0 or found.dtype.kind not in "iu" or found.min() < 0 or found.max() > 255:
        kind = f"{type(value).__name__} of {found.dtype}" if found.size else type(value).__name__
        raise DataError(
            f"{name}: expected an image file or pixels as whole numbers from 0 to 255, found {kind}"
        )
    return found.astype(np.uint8)


def _disable_decoding(rows: Any, column: str) -> Any:
    import datasets

    if isinstance(rows.features[column], datasets.Image):
        return rows.cast_column(column, datasets.Image(decode=False))
    return rows


def read_encoded_cell(value: dict[str, Any], name: str) -> bytes:
    """Return the encoded bytes of a cell that holds them or a path. Raises DataError, naming the row, without both."""
    from harness_data.scanning import read_sample_file

    if value.get("bytes") is not None:
        return bytes(value["bytes"])
    if value.get("path"):
        return read_sample_file(Path(value["path"]))
    raise DataError(f"{name}: the image has neither bytes nor a path")
