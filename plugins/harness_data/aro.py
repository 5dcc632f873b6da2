"""The data set `aro`: captions whose relations, attributes or words are in the wrong order.

Yuksekgonul et al., "When and why vision-language models behave like bags-of-words, and what to do about it?", ICLR 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import DataError, OptionError
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness import Answers
    from harness_data.coco_files import CocoRecord
    from harness_data.question_images import ImageSource
    from harness_data.question_split import QuestionRecord, QuestionSplit

SPLIT = "test"
FILES = {
    "relation": "visual_genome_relation.json",
    "attribution": "visual_genome_attribution.json",
    "coco-order": "coco_order.json",
    "flickr30k-order": "flickr30k_order.json",
}
BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")


class Aro:
    """One of ARO's four parts, from the authors' JSON.

    Visual Genome's relations ("the horse is eating the grass" or the other way round) and attributions have two captions,
    and images that are cut to the box of both objects, as the authors do; `answer_types` are the relations or pairs of
    attributes. The order of COCO's and Flickr30k's captions has five captions, of which four are shuffled. The authors
    shuffle anew in each run, so their file is to be written once: `json.dump(COCO_Order(...).test_cases, file)`. Their
    program counts a tie as right there. Choices are in an order that depends on the sample's id; `groups` are the images.

    Args:
        path: the folder of the file, or the file, itself or below $HARNESS_DATA_ROOT.
        part: "relation" (visual_genome_relation.json), "attribution" (visual_genome_attribution.json), "coco-order"
            (coco_order.json) or "flickr30k-order" (flickr30k_order.json).
        images: the folder that the paths of images are relative to; by default `images` beside the file if it is there,
            else the file's folder.
        leave_out: relations or pairs of attributes that don't count. The authors' mean over relations leaves out those
            that hold both ways (their notebook lists them).
    """

    target_kind = "answers"
    splits = (SPLIT,)

    def __init__(
        self,
        path: Path,
        *,
        part: Literal["relation", "attribution", "coco-order", "flickr30k-order"] = "relation",
        images: Path | None = None,
        leave_out: list[str] | None = None,
    ) -> None:
        """Store the options. Raises OptionError for something to leave out of a part that has no categories."""
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self.part, self.leave_out = part, tuple(leave_out or ())
        if self.leave_out and part not in ("relation", "attribution"):
            raise OptionError(f"aro: leave_out names relations or pairs of attributes, and '{part}' has none")

    @property
    def _file(self) -> Path:
        return self.path if self.path.is_file() else self.path / FILES[self.part]

    @property
    def _root(self) -> Path:
        beside = self._file.parent / "images"
        return self.images or (beside if beside.is_dir() else self._file.parent)

    def unavailable(self) -> str | None:
        """Return that the file is missing, or None."""
        if self._file.is_file():
            return None
        return f"{self._file}: no such file; get it from the ARO project (vision-language-models-are-bows)"

    def fingerprint(self) -> str:
        """Return a digest of the file and of the images that it names."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_split import list_image_files

        images = list_image_files(self._build_records()[0])
        return text_digest([self.part, content_digest(self._file), *content_digests(images)])

    def load(self, split: str) -> QuestionSplit:
        """Open the only split, `test`; images are read on access.

        Raises DataError, naming file and index, for a record without image, box or captions, and for something to
        leave out that is not there.
        """
        from harness_data.question_split import QuestionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        records, remarks = self._build_records()
        return QuestionSplit(records, str(self._file), remarks)

    def _build_records(self) -> tuple[list[QuestionRecord], list[str]]:
        from harness import did_you_mean
        from harness_data.caption_pairs import QUESTION, read_json_records
        from harness_data.question_split import QuestionRecord

        found: list[QuestionRecord] = []
        for key, record in read_json_records(self._file):
            id = f"{self.part}/{key}"
            image, name = self._read_image(record)
            answers, category = self._read_captions(record, id)
            found.append(QuestionRecord(id, QUESTION, (image,), answers, name, record.where, category))
        there = {record.answer_type for record in found if record.answer_type}
        for name in self.leave_out:
            if name not in there:
                raise DataError(
                    f"{self._file}: nothing to leave out is called '{name}'{did_you_mean(name, there)}"
                )
        kept = [record for record in found if record.answer_type not in self.leave_out]
        remarks = []
        if self.leave_out:
            remarks = [f"{len(found) - len(kept)} of {len(found)} samples are left out, of {len(self.leave_out)} "
                       f"of {len(there)} categories"]  # fmt: skip
        elif self.part == "relation":
            remarks = [f"all {len(there)} relations count; the authors' mean leaves out those that hold both ways "
                       "(option `leave_out`)"]  # fmt: skip
        return kept, remarks

    def _read_image(self, record: CocoRecord) -> tuple[ImageSource, str]:
        """Return a record's image, cut to its box if it has one, and its name."""
        from harness_data.question_images import CutImageFile, ImageFile, open_image_cell

        boxed = self.part in ("relation", "attribution")
        name = record.take_text("image_path" if boxed else "image")
        (image,) = open_image_cell(name, self._root, record.where)
        if not boxed or not isinstance(image, ImageFile):
            return image, name
        left, top, width, height = (record.take(key, int) for key in BOX)
        if min(width, height) < 1:
            raise DataError(f"{record.where}: its box is {width} pixels wide and {height} high")
        return CutImageFile(image.path, record.where, (left, top, left + width, top + height)), name

    def _read_captions(self, record: CocoRecord, id: str) -> tuple[Answers, str | None]:
        """Return a record's captions, and its relation or pair of attributes."""
        from harness_data.caption_pairs import mix_captions

        if self.part not in ("relation", "attribution"):
            texts = record.take("caption_options", list)
            if len(texts) < 2 or not all(isinstance(text, str) and text.strip() for text in texts):
                raise DataError(
                    f"{record.where}: `caption_options` should be at least two texts, the right one first"
                )
            return mix_captions(texts[0], texts[1:], id), None
        answers = mix_captions(record.take_text("true_caption"), [record.take_text("false_caption")], id)
        if self.part == "relation":
            return answers, record.take_text("relation_name")
        pair = record.take("attributes", list)
        if len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise DataError(f"{record.where}: `attributes` should be two texts, found {str(pair)[:40]}")
        return answers, "_".join(pair)
