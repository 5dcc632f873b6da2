"""Finds the columns of a table of captions, by the options or by their usual names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness import DataError, OptionError, did_you_mean
from harness_data.question_cells import shorten_text

IMAGE_COLUMNS = (
    "image", "image_path", "image_name", "image_file", "img", "img_path", "img_name", "filename", "file_name",
    "filepath", "file_path", "file", "path", "image_id", "img_id",
)  # fmt: skip
"""Usual names of the column of images, in lower case, the likeliest first."""

VIDEO_COLUMNS = (
    "video", "video_path", "video_name", "video_file", "video_id", "videoid", "vid", "clip", "clip_name", "clip_id",
    "filename", "file_name", "filepath", "file_path", "file", "path",
)  # fmt: skip
"""Usual names of the column of videos, in lower case, the likeliest first."""

TEXT_COLUMNS = (
    "caption",
    "captions",
    "text",
    "texts",
    "sentence",
    "sentences",
    "description",
    "comment",
    "raw",
)
"""Usual names of the column of captions, in lower case, the likeliest first."""

FURTHER_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "split": ("split",),
    "language": ("language", "lang"),
    "group": ("group",),
}
"""Usual names of the other columns, in lower case."""


@dataclass(frozen=True)
class CaptionColumns:
    """The columns that are read; None: there is none."""

    media: str
    text: str
    id: str | None = None
    split: str | None = None
    language: str | None = None
    group: str | None = None

    def list_used(self) -> set[str]:
        """Return the names of all columns that are read."""
        named = (self.media, self.text, self.id, self.split, self.language, self.group)
        return {name for name in named if name is not None}


def find_caption_columns(
    there: Sequence[str], asked: Mapping[str, str | None], medium: str, where: str
) -> tuple[CaptionColumns, list[str]]:
    """Return the columns of a table, and remarks on others with a usual name and on those that are not read.

    `asked` holds the columns that options name, by role: "media", "text", "id", "split", "language", "group". `medium`
    is "image" or "video". Raises OptionError for a named column that is missing, or named twice; DataError if
    there is none of images (or videos), or none of captions.
    """
    usual: dict[str, tuple[str, ...]] = {
        "media": VIDEO_COLUMNS if medium == "video" else IMAGE_COLUMNS,
        "text": TEXT_COLUMNS,
        **FURTHER_COLUMNS,
    }
    words = {"media": f"{medium}s", "text": "captions"}
    options = {role: f"{medium if role == 'media' else role}_column" for role in (*usual, "id")}
    taken: dict[str, str] = {}
    for role, name in asked.items():
        if name is None:
            continue
        if name not in there:
            raise OptionError(
                f"{where}: no column '{shorten_text(name)}' ({options[role]}){did_you_mean(name, there)}"
            )
        if name in taken:
            raise OptionError(
                f"{where}: column '{shorten_text(name)}' is both {options[taken[name]]} and {options[role]}"
            )
        taken[name] = role
    found = {role: name for name, role in taken.items()}
    remarks = []
    for role, names in usual.items():
        fitting = sorted(
            (name for name in there if name.lower() in names and name not in taken),
            key=lambda name: names.index(name.lower()),
        )
        if role not in found and fitting:
            found[role] = fitting.pop(0)
            taken[found[role]] = role
            if fitting:
                remarks.append(
                    f"column '{found[role]}' is read for {words.get(role, role + 's')}, not '{fitting[0]}'; "
                    f"{options[role]} overrules"
                )
        elif role not in found and role in words:
            shown = ", ".join(map(shorten_text, there))
            raise DataError(f"{where}: no column of {words[role]} among: {shown}; set {options[role]}")
    columns = CaptionColumns(
        found["media"], found["text"], *map(found.get, ("id", "split", "language", "group"))
    )
    if unused := [shorten_text(name) for name in there if name not in columns.list_used()]:
        remarks.append(f"columns that are not read: {', '.join(unused)}")
    return columns, remarks
