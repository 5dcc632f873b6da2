"""The data set `karpathy`: COCO, Flickr30k or Flickr8k with the splits of Karpathy and Fei-Fei.

"Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.karpathy_file import KarpathyImage
    from harness_data.question_split import QuestionRecord, QuestionSplit


class Karpathy:
    """Images and captions from `dataset_coco.json`, `dataset_flickr30k.json` or `dataset_flickr8k.json`.

    Captions are the sentences as written (`raw`), without surrounding blanks, in the order of the file. Ids and `groups`
    are COCO's image ids, or else the names of the files. COCO's images are found in the folders of 2014 (`val2014`) or,
    under their shorter names, of 2017.

    Args:
        path: the file, or the folder with one of them, itself or below $HARNESS_DATA_ROOT.
        images: the folder of the images, or the one that holds `val2014` and the like; by default the file's.
        restval: let the split `train` have COCO's 30,504 images of `restval` too, as most results do.
    """

    target_kind = "captions"

    def __init__(self, path: Path, *, images: Path | None = None, restval: bool = True) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self.restval = restval

    @cached_property
    def _files(self) -> list[Path]:
        return sorted(self.path.glob("dataset_*.json")) if self.path.is_dir() else [self.path]

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if len(self._files) > 1:
            return f"{self.path}: holds {', '.join(file.name for file in self._files)}: name one as path"
        if self._files and self._files[0].is_file():
            return None
        what = "holds no dataset_*.json" if self.path.is_dir() else "no such file or folder"
        return f"{self.path}: {what}; get dataset_coco.json or dataset_flickr30k.json (caption_datasets.zip)"

    @cached_property
    def _read(self) -> tuple[str, dict[str, list[KarpathyImage]]]:
        from harness_data.karpathy_file import read_karpathy_file

        return read_karpathy_file(self._files[0])

    def _list_images(self, split: str) -> list[KarpathyImage]:
        """Return the images of a split in the order of the file."""
        found = self._read[1]
        if split == "train" and self.restval:
            both = [*found.get("train", ()), *found.get("restval", ())]
            return sorted(both, key=lambda image: image.number)
        return found.get(split, [])

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have images."""
        if self.unavailable():
            return ()
        return tuple(split for split in ("train", "val", "test") if self._list_images(split))

    def fingerprint(self) -> str:
        """Return a digest of the file, and of the images that it names."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_split import list_image_files

        parts: list[object] = [content_digest(self._files[0])]
        for split in self.splits:
            parts += [split, *content_digests(list_image_files(self._build_records(split)[0]))]
        return text_digest(parts)

    def load(self, split: str) -> QuestionSplit:
        """Open one split; images are read on access.

        Raises DataError, naming file and record, for unknown splits, sentences that contradict their image, and an
        image or sentence that is listed twice.
        """
        from harness_data.question_split import QuestionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        records, remarks = self._build_records(split)
        return QuestionSplit(records, f"{self._files[0]}, split '{split}'", remarks)

    def _build_records(self, split: str) -> tuple[list[QuestionRecord], list[str]]:
        from harness_data.caption_items import note_captions
        from harness_data.karpathy_file import find_karpathy_images, note_counts
        from harness_data.question_images import ImageFile
        from harness_data.question_split import QuestionRecord

        listed = self._list_images(split)
        kept = [image for image in listed if image.captions]
        paths, remarks = find_karpathy_images(kept, self.images or self._files[0].parent)
        records = [
            QuestionRecord(
                image.id, None, (ImageFile(path, image.where),), image.captions, image.id, image.where
            )
            for image, path in zip(kept, paths, strict=True)
        ]
        if bare := [image for image in listed if not image.captions]:
            remarks.append(
                f"{len(bare)} of {len(listed)} images have no caption and are left out (first: {bare[0].id})"
            )
        if empty := sum(image.empty for image in listed):
            whole = empty + sum(len(image.captions) for image in listed)
            remarks.append(f"{empty} of {whole} captions are empty and left out")
        remarks += note_captions([image.captions for image in kept], "image")
        remarks += note_counts(self._read[0], split, self.restval, len(listed))
        return records, remarks
