"""The data set `sugarcrepe`: COCO's images with a caption each and a hard negative that reads as well.

Hsieh et al., "SugarCrepe: Fixing Hackable Benchmarks for Vision-Language Compositionality", NeurIPS 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError, OptionError, did_you_mean
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.question_split import QuestionRecord, QuestionSplit

SPLIT = "test"
CATEGORIES = ("add-att", "add-obj", "replace-att", "replace-obj", "replace-rel", "swap-att", "swap-obj")
"""What is wrong about the negatives: an attribute, object or relation that is added, replaced, or swapped."""


class SugarCrepe:
    """SugarCrepe's seven files (`add_att.json` to `swap_obj.json`), with the images of COCO val2017.

    Each sample has two captions to choose from, in an order that depends on its id. `answer_types` are the categories,
    `groups` the images.

    Args:
        path: the folder of the files, or the one that holds it as `data`, itself or below $HARNESS_DATA_ROOT.
        images: the folder of the images, or the one that holds `val2017`; by default `path`.
        categories: which of "add-att", "add-obj", "replace-att", "replace-obj", "replace-rel", "swap-att", "swap-obj";
            by default all.
    """

    target_kind = "answers"
    splits = (SPLIT,)

    def __init__(
        self, path: Path, *, images: Path | None = None, categories: list[str] | None = None
    ) -> None:
        """Store the options. Raises OptionError for an unknown category, and for none."""
        for name in categories or ():
            if name not in CATEGORIES:
                raise OptionError(f"sugarcrepe: no category '{name}'{did_you_mean(name, CATEGORIES)}")
        if categories is not None and not categories:
            raise OptionError(f"sugarcrepe: categories is an empty list; known: {', '.join(CATEGORIES)}")
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self.categories = tuple(name for name in CATEGORIES if categories is None or name in categories)

    @property
    def _files(self) -> dict[str, Path]:
        names = {category: f"{category.replace('-', '_')}.json" for category in self.categories}
        inner = self.path / "data"
        folder = self.path if any((self.path / name).is_file() for name in names.values()) else inner
        return {category: folder / name for category, name in names.items()}

    def unavailable(self) -> str | None:
        """Return which file is missing, or None."""
        missing = [file.name for file in self._files.values() if not file.is_file()]
        if not missing:
            return None
        more = f" and {len(missing) - 1} more of SugarCrepe's files" if len(missing) > 1 else ""
        return f"{self.path}: no {missing[0]}{more}; get them from the SugarCrepe project"

    def fingerprint(self) -> str:
        """Return a digest of the files and of the images that they name."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_split import list_image_files

        files = [content_digest(file) for file in self._files.values()]
        return text_digest([*files, *content_digests(list_image_files(self._build_records()))])

    def load(self, split: str) -> QuestionSplit:
        """Open the only split, `test`; images are read on access.

        Raises DataError, naming file and key, for a record without image or one of the captions.
        """
        from harness_data.question_split import QuestionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        return QuestionSplit(self._build_records(), str(self.path))

    def _build_records(self) -> list[QuestionRecord]:
        from harness_data.caption_pairs import QUESTION, mix_captions, read_json_records
        from harness_data.coco_files import find_coco_images
        from harness_data.question_images import open_image_cell
        from harness_data.question_split import QuestionRecord

        folder = find_coco_images(self.images or self.path, "val2017")
        found = []
        for category, file in self._files.items():
            for key, record in read_json_records(file):
                id, name = f"{category}/{key}", record.take_text("filename")
                answers = mix_captions(
                    record.take_text("caption"), [record.take_text("negative_caption")], id
                )
                images = tuple(open_image_cell(name, folder, record.where))
                found.append(QuestionRecord(id, QUESTION, images, answers, name, record.where, category))
        return found
