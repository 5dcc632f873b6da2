"""What happens to images whose files or annotations are wrong: the first stops the reading, or all are left out."""

from __future__ import annotations

from typing import Literal

from harness import DataError

OnError = Literal["raise", "skip"]


class AnnotationFaults:
    """Collects the faults of one split: raises the first one, or keeps it as the reason to leave its image out."""

    def __init__(self, on_error: OnError) -> None:
        self.skips = on_error == "skip"
        self.by_image: dict[str, str] = {}
        self.homeless: list[str] = []
        """Faults of annotations that belong to no image; they alone are left out."""

    def add(self, image: str | None, fault: str) -> None:
        """Take in a fault, which names its place, of the image with that id. Raises DataError unless faults are skipped."""
        if not self.skips:
            what = "such annotations" if image is None else "such images"
            raise DataError(f'{fault}; correct it, or leave {what} out with on_error = "skip"')
        if image is None:
            self.homeless.append(fault)
        else:
            self.by_image.setdefault(image, fault)

    def remarks(self, images: int) -> list[str]:
        """Return what was left out of a split of so many images, with counts and the first fault."""
        said = []
        if self.by_image:
            are = "is" if len(self.by_image) == 1 else "are"
            first = next(iter(self.by_image.values()))
            said.append(
                f"{len(self.by_image)} of {images} images {are} left out for faults of their files (first: {first})"
            )
        if self.homeless:
            count = len(self.homeless)
            are = "annotation is" if count == 1 else "annotations are"
            said.append(f"{count} {are} left out (first: {self.homeless[0]})")
        return said
