"""The data set `winoground`: pairs of images and of captions with the same words in another order.

Thrush et al., "Winoground: Probing Vision and Language Models for Visio-Linguistic Compositionality", CVPR 2022.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import Answers, DataError
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.question_images import ImageSource
    from harness_data.question_split import QuestionRecord, QuestionSplit

SPLIT = "test"
PLACES = ("examples.jsonl", "data/examples.jsonl")
SUFFIXES = (".png", ".jpg", ".jpeg")
"""What names of images without one may end in."""


class Winoground:
    """Winoground from `examples.jsonl` and its images, or from the Parquet files of the Hugging Face hub.

    A row, two images and two captions, becomes two samples of one of `groups`: each image, with both captions in the
    file's order, of which its own is right. `answer_types` are a column of the file.

    Args:
        path: the file, or the folder that holds it, maybe in `data`, itself or below $HARNESS_DATA_ROOT.
        images: the folder of the images; by default `images` beside the file if it is there, else the file's folder.
        category: the column whose values are the categories: "collapsed_tag" (Object, Relation, Both), "tag",
            "secondary_tag" or "num_main_preds".
    """

    target_kind = "answers"
    splits = (SPLIT,)

    def __init__(
        self,
        path: Path,
        *,
        images: Path | None = None,
        category: Literal["collapsed_tag", "tag", "secondary_tag", "num_main_preds"] = "collapsed_tag",
    ) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self.category = category

    @property
    def _files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        lines = [self.path / place for place in PLACES if (self.path / place).is_file()]
        tables = sorted(
            file for folder in (self.path, self.path / "data") for file in folder.glob("test*.parquet")
        )
        return lines[:1] or tables

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if self._files:
            return None
        return f"{self.path}: neither examples.jsonl nor test*.parquet; get them from facebook/winoground on the hub"

    def fingerprint(self) -> str:
        """Return a digest of the files and of the images that they name."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_split import list_image_files

        files = [content_digest(file) for file in self._files]
        return text_digest([*files, *content_digests(list_image_files(self._build_records()))])

    def load(self, split: str) -> QuestionSplit:
        """Open the only split, `test`; images are read on access.

        Raises DataError, naming file and row, for a row without an id, both images or two different captions.
        """
        from harness_data.question_split import QuestionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        return QuestionSplit(self._build_records(), str(self._files[0]))

    def _build_records(self) -> list[QuestionRecord]:
        from harness_data.caption_pairs import QUESTION
        from harness_data.question_cells import read_text_cell
        from harness_data.question_split import QuestionRecord
        from harness_data.question_tables import read_question_rows

        found = []
        for where, row in (row for file in self._files for row in read_question_rows(file)):
            id = read_text_cell(row.get("id"))
            if id is None:
                raise DataError(f"{where}: has no id")
            captions = [read_text_cell(row.get(f"caption_{n}")) for n in range(2)]
            texts = tuple(text for text in captions if text is not None)
            if len(texts) < 2:
                raise DataError(f"{where}: `caption_{captions.index(None)}` is missing or empty")
            if texts[0] == texts[1]:
                raise DataError(f"{where}: both captions are '{texts[0]}'")
            category = read_text_cell(row.get(self.category))
            for n in range(2):
                image = self._open_image(row.get(f"image_{n}"), f"image_{n}", where)
                answers = Answers(choices=texts, right=n)
                found.append(QuestionRecord(f"{id}/{n}", QUESTION, (image,), answers, id, where, category))
        return found

    def _open_image(self, value: Any, column: str, where: str) -> ImageSource:
        from harness_data.question_images import open_image_cell

        beside = self._files[0].parent / "images"
        root = self.images or (beside if beside.is_dir() else self._files[0].parent)
        if isinstance(value, str) and value and Path(value).suffix.lower() not in SUFFIXES:
            there = [suffix for suffix in SUFFIXES if (root / f"{value}{suffix}").is_file()]
            value += (there or SUFFIXES)[0]
        images = open_image_cell(value, root, where)
        if len(images) != 1:
            raise DataError(f"{where}: `{column}` holds {len(images) or 'no'} images, expected one")
        return images[0]
