"""Samples of questions or captions about images, as a split that reads images on access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Answers, DataError, Sample
from harness_data.question_cells import shorten_text
from harness_data.question_images import ImageFile, ImageSource, list_missing


@dataclass(frozen=True)
class QuestionRecord:
    """One question about images with its answers, or one image with its captions.

    `group` names the image (or images) that it is about; `where` is its place in a file; `objects` are those that
    its image shows.
    """

    id: str
    question: str | None
    images: tuple[ImageSource, ...]
    target: Answers | tuple[str, ...]
    group: str
    where: str
    answer_type: str | None = None
    objects: tuple[str, ...] | None = None


class QuestionSplit:
    """A `Split` of questions. Besides ids and targets it has, one per sample, `groups` (the image that each is about,
    whose questions are not independent), `questions`, and where they are known `answer_types` and `objects`.
    """

    def __init__(self, records: Sequence[QuestionRecord], where: str, remarks: Sequence[str] = ()) -> None:
        """Take over the records. Raises DataError, naming its place, for a second record of an id, and for none."""
        if not records:
            raise DataError(f"{where}: holds no samples")
        place: dict[str, str] = {}
        for record in records:
            if record.id in place:
                raise DataError(
                    f"{record.where}: id '{shorten_text(record.id)}' is at {place[record.id]} already"
                )
            place[record.id] = record.where
        self._records = list(records)
        self.ids = [record.id for record in records]
        self.targets: list[Any] = [record.target for record in records]
        self.groups = [record.group for record in records]
        self.questions = [record.question for record in records]
        self.per_sample = ["groups", "questions"]
        if any(record.answer_type for record in records):
            self.answer_types = [record.answer_type or "" for record in records]
            self.per_sample.append("answer_types")
        if any(record.objects is not None for record in records):
            self.objects = [record.objects or () for record in records]
            self.per_sample.append("objects")
        self.remarks = [*remarks, *self._note_missing()]

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        record = self._records[index]
        images = [source.read() for source in record.images]
        return Sample(record.id, images=images, text=record.question, target=record.target)

    def list_records(self) -> list[QuestionRecord]:
        """Return the records, in order."""
        return list(self._records)

    def _note_missing(self) -> list[str]:
        sources = [source for record in self._records for source in record.images]
        missing = list_missing(sources)
        if not missing:
            return []
        count = len({source.path for source in sources if isinstance(source, ImageFile)})
        are = "is" if len(missing) == 1 else "are"
        return [
            f"{len(missing)} of {count} image files {are} missing (first: {missing[0].path}, {missing[0].where})"
        ]


def list_image_files(records: Sequence[QuestionRecord]) -> Iterator[Path]:
    """Yield the image files of some records, each once, in order."""
    sources = (source for record in records for source in record.images)
    yield from dict.fromkeys(source.path for source in sources if isinstance(source, ImageFile))
