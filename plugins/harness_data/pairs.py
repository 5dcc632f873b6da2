"""The data set `pairs`: a folder of images and texts in the usual layouts, or a table of pairs."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.pair_layout import ALL, UNLABELLED, find_pair_tables, list_other_tables
from harness_data.pair_tables import TABLE_SUFFIXES, read_pair_table
from harness_data.roots import resolve_below_root
from harness_data.text_encoding import RULE, check_encoding

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from harness_data.pair_assembly import AssembledPairs
    from harness_data.pair_files import PairFiles
    from harness_data.pair_split import PairSplit
    from harness_data.pair_tables import PairTable
    from harness_data.text_encoding import DecodedText

WORKBOOK_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")

LAYOUTS = "a table (id and label, or text and image columns) beside <id>.jpg and <id>.txt, or <class>/<id>.jpg and <id>.txt"


class PairFolder:
    """Base of data sets of pairs on disk: tables and files are assembled once, and splits opened from that."""

    path: Path
    encoding: str | None = None
    """The encoding of texts and tables that are not UTF-8; None: guessed from all of them."""
    _expected_kinds: Collection[str] = ()
    """Kinds of findings that every copy of the collection has and that need no remark."""

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        raise NotImplementedError

    def _read_tables(self) -> Mapping[str, PairTable]:
        """Read the table of each split, in order, with labels as written."""
        raise NotImplementedError

    @property
    def _known_classes(self) -> Sequence[str] | None:
        """The classes if they are known before the tables are read."""
        return None

    @property
    def _classes(self) -> list[str]:
        """The labels in class order, spelled as in the tables."""
        raise NotImplementedError

    @property
    def _class_names(self) -> list[str]:
        """The names of the classes for prompts and tables."""
        return [name.replace("_", " ") for name in self._classes]

    @cached_property
    def _files(self) -> PairFiles:
        from harness_data.pair_files import list_pair_files

        folder = self.path if self.path.is_dir() else self.path.parent
        return list_pair_files(folder, frozenset(table.path for table in self._settled_tables.values()))

    @cached_property
    def _settled(self) -> tuple[Mapping[str, PairTable], list[str]]:
        """The tables with only real labels, and remarks on them."""
        from harness_data.pair_labels import settle_pair_labels

        tables = self._read_tables()
        remarks = settle_pair_labels(tables, self._known_classes)
        return tables, remarks + [text for table in tables.values() for text in table.remarks]

    @property
    def _settled_tables(self) -> Mapping[str, PairTable]:
        return self._settled[0]

    @cached_property
    def _assembled(self) -> AssembledPairs:
        from harness_data.pair_assembly import assemble_pairs

        return assemble_pairs(self._settled_tables, self._files, self._classes)

    @cached_property
    def _texts(self) -> Mapping[str, DecodedText]:
        """The texts of all splits, decoded as one collection."""
        from harness_data.pair_split import read_texts

        entries = [entry for of in self._assembled.entries.values() for entry in of]
        return read_texts(entries, self.encoding)

    @property
    def remarks(self) -> list[str]:
        """Remarks at planning: on labels, the encoding of tables, and unused rows and files."""
        unused = self._assembled.describe_unused(self._expected_kinds)
        return [*self._settled[1], *([unused] if unused else [])]

    def unfit(self, modalities: Sequence[str]) -> str | None:
        """Return why no classifier of these modalities ("text", "image") can be trained on the pairs, or None."""
        from harness_data.pair_assembly import explain_unfit

        return explain_unfit(self._assembled, self._classes, modalities, self._table_name())

    def _table_name(self) -> str:
        tables = [table.path for table in self._settled_tables.values()]
        return str(tables[0]) if tables else str(self.path)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have pairs; `unlabelled` holds pairs without a label."""
        if self.unavailable():
            return ()
        found = [name for name, table in self._settled_tables.items() if any(r.label for r in table.rows)]
        bare = any(r.label is None and not r.left_out for t in self._settled_tables.values() for r in t.rows)
        return (*dict.fromkeys(n for n in found if n != UNLABELLED), *((UNLABELLED,) if bare else ()))

    def fingerprint(self) -> str:
        """Return a digest of the tables, of the files of all pairs, and of the names of all other files."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.pair_files import FileSource

        parts: list[object] = [*self._classes, *self._class_names]
        for split, table in self._settled_tables.items():
            parts += [RULE, split, content_digest(table.path) if table.path.is_file() else len(table.rows)]
        files = self._files
        parts += [name for of in (files.images, files.texts) for name in of.files]
        pairs = [entry for entries in self._assembled.entries.values() for entry in entries]
        used = [s for e in pairs for s in (e.image, e.text) if isinstance(s, FileSource)]
        digests = content_digests(source.path for source in used)
        parts += [f"{s.name} {d}" for s, d in zip(used, digests, strict=True)]
        return text_digest(parts)

    def load(self, split: str) -> PairSplit:
        """Read all texts and check all images of one split; problems go into its `report`.

        Raises DataError for an unknown split, or one in which nothing can be read.
        """
        from copy import deepcopy

        from harness_data.pair_findings import PairFindings
        from harness_data.pair_split import PairSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        found = self._assembled
        return PairSplit(
            found.entries.get(split, []),
            self._class_names,
            deepcopy(found.findings.get(split, PairFindings())),
            f"{self.path}, split '{split}'",
            found.whole.build_report(),
            self._texts,
        )


class Pairs(PairFolder):
    """Image-text pairs from a folder, or from a CSV, TSV, JSON or JSON-lines file.

    Layouts: a label file with ids beside `<id>.jpg` and `<id>.txt`, which may lie in folders below
    (`data/`, `images/`, `texts/`), as the table may; a table with a text column, an image column, or both; folders
    `<class>/` with `<id>.jpg` and `<id>.txt` side by side. Tables `train`, `val`, `test` become splits
    of these names; a single table becomes the split `all`; rows without a label (empty, `null`) form
    the split `unlabelled`. `-1` and `none` are labels if they look like a class (`pair_labels`).

    Nothing in the files stops a run half-way: `harness_data.pair_findings.KINDS` lists how missing, unreadable,
    contradictory or left-over files and texts in other encodings are handled; all are reported.

    Args:
        path: the folder or the table, itself or below $HARNESS_DATA_ROOT.
        labels: the name of the table in the folder; by default found by its usual names.
        unlabelled: the name of a table of further pairs, whose labels are not read; found in the same way.
        classes: the labels in class order; pairs with any other are left out and reported (by default every
            label is a class).
        class_names: names for prompts, one per class.
        id_column: the column of ids, if its name is unusual.
        label_column: the column of labels, if its name is unusual.
        text_column: the column of texts, if its name is unusual.
        image_column: the column of image files, if its name is unusual.
        encoding: of texts and tables that are not UTF-8; by default guessed from all of them
            (`harness_data.text_encoding`).
    """

    def __init__(
        self,
        path: Path,
        *,
        labels: str | None = None,
        unlabelled: str | None = None,
        classes: list[str] | None = None,
        class_names: list[str] | None = None,
        id_column: str | None = None,
        label_column: str | None = None,
        text_column: str | None = None,
        image_column: str | None = None,
        encoding: str | None = None,
    ) -> None:
        """Store the options."""
        self.path, self.encoding = resolve_below_root(path), check_encoding(encoding, "pairs")
        self.labels, self.unlabelled = labels, unlabelled
        self.classes, self.class_names = classes, class_names
        self.columns = {
            "id": id_column, "label": label_column, "text": text_column, "image": image_column,
        }  # fmt: skip

    @property
    def _known_classes(self) -> Sequence[str] | None:
        if self.classes is None and not self._find_tables():
            return self._list_class_folders()  # a folder called `nan` or `none` is a class like any other
        return self.classes

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if not self.path.exists():
            return f"{self.path}: no such file or folder; expected {LAYOUTS}"
        if self.path.is_file():
            known = self.path.suffix.lower() in TABLE_SUFFIXES
            return None if known else f"{self.path}: not a table of pairs ({' '.join(TABLE_SUFFIXES)})"
        for name in (self.labels, self.unlabelled):
            if name is not None and not (self.path / name).is_file():
                return f"{self.path / name}: no such table"
        folders = [] if self._find_tables() else self._list_class_folders()
        books = [p.name for p in self.path.iterdir() if p.suffix.lower() in WORKBOOK_SUFFIXES]
        if len(folders) < 2 and books and not self._find_tables():
            return f"{self.path / min(books)}: is a workbook, which can't be read: export it as CSV"
        if self._find_tables() or folders:
            return None
        near = list_other_tables(self.path)[:3]
        hint = f"or set `labels` (found {', '.join(near)})" if near else "or set `labels`"
        return f"{self.path}: no table and no class folders in it; expected {LAYOUTS}, {hint}"

    def _find_tables(self) -> dict[str, Path]:
        """Return the table of each split, by the options or by usual names."""
        if self.path.is_file():
            return {ALL: self.path}
        return find_pair_tables(self.path, self.labels, self.unlabelled)

    def _list_class_folders(self) -> list[str]:
        from harness_data.scanning import has_images, list_subfolders

        return [n for n in list_subfolders(self.path) if has_images(self.path / n)]

    def _read_tables(self) -> dict[str, PairTable]:
        from dataclasses import replace

        files = self._find_tables()
        if not files:
            return {ALL: self._tabulate_folders()}
        tables = {}
        for split, file in files.items():
            columns = self.columns if split != UNLABELLED else self.columns | {"label": None}
            tables[split] = read_pair_table(file, columns, self.encoding)
        labelled = [table for split, table in tables.items() if split != UNLABELLED]
        if not any("label" in table.columns or not table.there for table in labelled):
            first = labelled[0]
            raise DataError(
                f"{first.path}: no column of labels among: {', '.join(first.there)}; set label_column"
            )
        if UNLABELLED in tables:
            rows = tables[UNLABELLED].rows
            tables[UNLABELLED].rows = [replace(row, label=None) for row in rows]
        return tables

    def _tabulate_folders(self) -> PairTable:
        """Make a table of the files in class folders: the id is the path without suffix, the label the folder."""
        from harness_data.pair_files import list_pair_files
        from harness_data.pair_tables import PairRow, PairTable

        files, folders = list_pair_files(self.path), set(self._list_class_folders())
        stems = sorted({*files.images.of_id, *files.texts.of_id})
        rows = [
            PairRow(stem, stem.split("/")[0], None, None, stem)
            for stem in stems
            if "/" in stem and stem.split("/")[0] in folders
        ]
        return PairTable(self.path, rows)

    @cached_property
    def _classes(self) -> list[str]:
        from harness_data.pair_labels import list_pair_classes

        return list_pair_classes(self._settled_tables, self.classes)

    @property
    def _class_names(self) -> list[str]:
        from harness_data.class_names import resolve_class_names

        return resolve_class_names(self.class_names, self._classes, str(self.path))
