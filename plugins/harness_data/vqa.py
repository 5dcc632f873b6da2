"""The data set `vqa`: VQAv2, open-ended questions about COCO's images with ten human answers each.

Goyal et al., "Making the V in VQA Matter", CVPR 2017.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness import Answers, DataError
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.question_split import QuestionRecord, QuestionSplit

SUBSETS = {"train": "train2014", "val": "val2014"}
"""COCO's subset of each split; the answers to the test questions are not public."""


class Vqa:
    """VQAv2 from its official files `v2_OpenEnded_mscoco_<subset>_questions.json` and `…_annotations.json`.

    All ten answers are kept, as `vqa-accuracy` needs them. `groups` are COCO's image ids, `answer_types` are "yes/no",
    "number" and "other".

    Args:
        path: the folder of both files, itself or below $HARNESS_DATA_ROOT.
        images: the folder of the images, or the one that holds `train2014` and `val2014`; by default `path`.
    """

    target_kind = "answers"

    def __init__(self, path: Path, *, images: Path | None = None) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self._read: dict[str, list[QuestionRecord]] = {}

    def _files(self, split: str) -> tuple[Path, Path]:
        subset = SUBSETS[split]
        return (
            self.path / f"v2_OpenEnded_mscoco_{subset}_questions.json",
            self.path / f"v2_mscoco_{subset}_annotations.json",
        )

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose both files are there."""
        return tuple(split for split in SUBSETS if all(file.is_file() for file in self._files(split)))

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if self.splits:
            return None
        questions, annotations = self._files("val")
        return f"{self.path}: no {questions.name} with {annotations.name}; get them from visualqa.org and unpack them there"

    def fingerprint(self) -> str:
        """Return a digest of the files of all splits, and of the images that they name."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_split import list_image_files

        parts: list[object] = []
        for split in self.splits:
            parts += [split, *(content_digest(file) for file in self._files(split))]
            parts += content_digests(list_image_files(self._build_records(split)))
        return text_digest(parts)

    def load(self, split: str) -> QuestionSplit:
        """Open one split; images are read on access.

        Raises DataError, naming file and record, for a question without an answer, an answer without a question,
        and a question that the two files place on different images.
        """
        from harness_data.question_split import QuestionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        return QuestionSplit(self._build_records(split), str(self._files(split)[0]))

    def _build_records(self, split: str) -> list[QuestionRecord]:
        from harness_data.coco_files import CocoFile, CocoRecord, find_coco_images
        from harness_data.question_images import ImageFile
        from harness_data.question_split import QuestionRecord

        if split in self._read:
            return self._read[split]
        questions, annotations = map(CocoFile, self._files(split))
        answers: dict[int, CocoRecord] = {}
        for record in annotations.records("annotations"):
            if answers.setdefault(key := record.take("question_id", int), record) is not record:
                raise DataError(
                    f"{record.where}: question {key} is annotated at {answers[key].where} already"
                )
        folder = find_coco_images(self.images or self.path, SUBSETS[split])
        found = []
        seen = set()
        for record in questions.records("questions"):
            identity, image = record.take("question_id", int), record.take("image_id", int)
            if (annotation := answers.get(identity)) is None:
                raise DataError(
                    f"{record.where}: question {identity} has no answers in {annotations.path.name}"
                )
            if (other := annotation.take("image_id", int)) != image:
                raise DataError(
                    f"{record.where}: question {identity} is about image {image}, its answers about {other}"
                )
            texts = []
            for position, one in enumerate(annotation.take("answers", list)):
                text = one.get("answer") if isinstance(one, dict) else None
                if not isinstance(text, str) or not text.strip():
                    raise DataError(f"{annotation.where}: answers[{position}] has no text in `answer`")
                texts.append(text)
            if not texts:
                raise DataError(f"{annotation.where}: question {identity} has no answers")
            seen.add(identity)
            file = folder / f"COCO_{SUBSETS[split]}_{image:012d}.jpg"
            found.append(
                QuestionRecord(
                    str(identity),
                    record.take_text("question"),
                    (ImageFile(file, record.where),),
                    Answers(tuple(texts)),
                    str(image),
                    record.where,
                    annotation.take_text("answer_type") if "answer_type" in annotation.values else None,
                )
            )
        if stray := next((record for key, record in answers.items() if key not in seen), None):
            raise DataError(f"{stray.where}: its question is not in {questions.path.name}")
        self._read[split] = found
        return found
