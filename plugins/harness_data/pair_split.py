"""A split of image-text pairs from files: what each pair has, its texts at hand, its images read when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract import EncodedImage, Sample
from harness.errors import DataError
from harness_data.image_checks import Source, judge_all
from harness_data.pair_findings import Findings
from harness_data.text_encoding import DAMAGED_UTF8, UTF8, decode_text

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Entry:
    """One pair before its files are opened. A text is a source to read, or a string from a table."""

    id: str
    label: int
    image: Source | None
    text: Source | str | None
    facts: Mapping[str, str] = field(default_factory=dict)
    image_name: str = ""
    """The image as reports name it, where it is missing too."""
    text_name: str = ""


class PairSplit:
    """Pairs of an image and a text, either of which may be missing. Satisfies `Split`.

    All texts are read and all images checked on opening, so that nothing fails half-way. `texts` N (""
    where missing), `has_text`, `has_image` N bool, `encodings` N (that of the text's file, "" where none
    was read), `groups` (by name N bool or N str: `missing_text`, `missing_image`, the facts of the entries
    and, where these are two polarities, their `agreement`), `report` (JSON-able: what was wrong, counted
    and named), `left_out` (ids of pairs without both). A sample's image is None where `has_image` is False.
    """

    per_sample = ("texts", "has_text", "has_image", "encodings", "groups")

    def __init__(
        self,
        entries: Sequence[Entry],
        class_names: Sequence[str],
        findings: Findings,
        where: str,
        whole: Mapping[str, Any] | None = None,
    ) -> None:
        """Reads the texts and checks the images; pairs that have neither are left out.

        `findings` holds what is known of these pairs already; `whole` reports on the collection.
        Raises DataError naming `where` when no pair is left.
        """
        texts, encodings = zip(*(_text(e, findings) for e in entries), strict=True) if entries else ((), ())
        seen = _images(entries, findings)
        kept = [i for i in range(len(entries)) if texts[i] or seen[i]]
        self.left_out = [
            e.id for e, text, sees in zip(entries, texts, seen, strict=True) if not (text or sees)
        ]
        findings.extend("neither text nor image", self.left_out)
        if not kept:
            counts = {kind: found["count"] for kind, found in (whole or {}).items()} | findings.counts()
            why = f" ({', '.join(f'{kind}: {count}' for kind, count in counts.items())})" if counts else ""
            raise DataError(f"{where}: no pair has a text or an image that can be read{why}")
        self._entries = [entries[i] for i in kept]
        self.ids: Sequence[str] = [e.id for e in self._entries]
        self.targets: NDArray[np.int64] = np.array([e.label for e in self._entries], np.int64)
        self.class_names = list(class_names)
        self.texts = [texts[i] for i in kept]
        self.encodings = [encodings[i] for i in kept]
        self.has_text: NDArray[np.bool_] = np.array([bool(t) for t in self.texts])
        self.has_image: NDArray[np.bool_] = np.array([seen[i] for i in kept])
        self.groups: dict[str, NDArray[Any]] = {
            "missing_text": ~self.has_text,
            "missing_image": ~self.has_image,
        }
        for name in dict.fromkeys(name for e in self._entries for name in e.facts):
            self.groups[name] = np.array([e.facts.get(name, "") for e in self._entries])
        if {"text_polarity", "image_polarity"} <= self.groups.keys():
            said, shown = self.groups["text_polarity"], self.groups["image_polarity"]
            self.groups["agreement"] = (said == shown) & self.has_text & self.has_image
        counts = Counter(self.targets.tolist())
        self.report: dict[str, Any] = {
            "pairs": len(self.ids),
            "labels": {name: counts.get(i, 0) for i, name in enumerate(self.class_names)},
            "unlabelled": counts.get(-1, 0),
            "encodings": dict(Counter(e for e in self.encodings if e)),
            "kinds": findings.report(),
            "whole": dict(whole or {}),
        }

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        image = None
        if entry.image is not None and self.has_image[index]:
            image = EncodedImage(entry.image.read(), entry.image.place)
        return Sample(entry.id, image, int(self.targets[index]), self.texts[index])


def _text(entry: Entry, findings: Findings) -> tuple[str, str]:
    """The text and the encoding of its file; "" and "" where there is none."""
    if entry.text is None:
        findings.add("text missing", entry.text_name or entry.id)
        return "", ""
    encoding, text = "", entry.text
    if not isinstance(text, str):
        try:
            decoded = decode_text(text.read())
        except DataError:
            findings.add("text missing", entry.text_name or entry.id)
            return "", ""
        text, encoding = decoded.text, decoded.encoding
    text = text.replace("\0", "").strip()
    if not text:
        findings.add("text empty", entry.text_name or entry.id)
    elif encoding == DAMAGED_UTF8:
        findings.add("text damaged", entry.text_name or entry.id)
    elif encoding not in ("", UTF8):
        findings.add("text not in UTF-8", f"{entry.text_name or entry.id} ({encoding})")
    return text, encoding


def _images(entries: Sequence[Entry], findings: Findings) -> list[bool]:
    """Whether each pair has an image that can be read."""
    there = [i for i, e in enumerate(entries) if e.image is not None]
    verdicts = dict(zip(there, judge_all([e.image for e in entries if e.image is not None]), strict=True))
    for i, entry in enumerate(entries):
        name = entry.image_name or entry.id
        if i not in verdicts:
            findings.add("image missing", name)
        elif verdicts[i] != "colour":
            findings.add(f"image {verdicts[i]}", name)
    return [verdicts.get(i) in ("colour", "greyscale") for i in range(len(entries))]
