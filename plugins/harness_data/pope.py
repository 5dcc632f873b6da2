"""The data set `pope`: whether an object is in the image, for objects drawn in three ways.

Li et al., "Evaluating Object Hallucination in Large Vision-Language Models", EMNLP 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import Answers, DataError
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.question_split import QuestionSplit

SPLIT = "test"
ANSWERS = ("yes", "no")
QUESTION_COLUMNS = ("text", "question")


class Pope:
    """POPE's yes/no questions from its file `*_pope_<setting>.json` of JSON lines, with the images of COCO val2014.

    Args:
        path: the file, or the folder that holds it, itself or below $HARNESS_DATA_ROOT.
        setting: how the absent objects were drawn: at random, the most frequent ones, or those that usually occur
            together with the ones present.
        images: the folder of the images, or the one that holds `val2014`; by default the file's.
    """

    target_kind = "answers"
    splits = (SPLIT,)

    def __init__(
        self,
        path: Path,
        *,
        setting: Literal["random", "popular", "adversarial"] = "random",
        images: Path | None = None,
    ) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self.setting = setting

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if len(self._files) == 1:
            return None
        if self._files:
            return f"{self.path}: {self._files[0].name} and {self._files[1].name} are both there: name one as the path"
        return f"{self.path}: no file *_pope_{self.setting}.json or .jsonl; get it from the POPE project"

    @property
    def _files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        return sorted(
            file for end in ("json", "jsonl") for file in self.path.glob(f"*pope_{self.setting}.{end}")
        )

    @property
    def _root(self) -> Path:
        root = self.images or self._files[0].parent
        return root / "val2014" if (root / "val2014").is_dir() else root

    def fingerprint(self) -> str:
        """Return a digest of the file and of the images that it names."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_split import list_image_files

        images = list_image_files(self.load(SPLIT).list_records())
        return text_digest([*(content_digest(file) for file in self._files), *content_digests(images)])

    def load(self, split: str) -> QuestionSplit:
        """Open the only split, `test`. Raises DataError naming the line for anything but a question with yes or no."""
        from harness_data.question_cells import read_text_cell
        from harness_data.question_images import open_image_cell
        from harness_data.question_split import QuestionRecord, QuestionSplit
        from harness_data.question_tables import read_json_lines
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        records = []
        for where, row in read_json_lines(self._files[0]):
            asked = [text for name in QUESTION_COLUMNS if (text := read_text_cell(row.get(name)))]
            if len(asked) != 1:
                fault = "the question is empty" if not asked else "has both `text` and `question`"
                raise DataError(f"{where}: {fault}")
            label, image = read_text_cell(row.get("label")), read_text_cell(row.get("image"))
            if label not in ANSWERS:
                raise DataError(f"{where}: the label is {label!r}, expected yes or no")
            if image is None:
                raise DataError(f"{where}: has no image")
            identity = read_text_cell(row.get("question_id"))
            if identity is None:
                raise DataError(f"{where}: has no question_id")
            target = Answers((label,), ANSWERS, ANSWERS.index(label))
            images = tuple(open_image_cell(image, self._root, where))
            records.append(QuestionRecord(identity, asked[0], images, target, image, where))
        return QuestionSplit(records, str(self._files[0]))
