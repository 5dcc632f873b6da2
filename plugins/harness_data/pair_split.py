"""A split of image-text pairs from files: texts in memory, images read on access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, EncodedImage, Sample
from harness_data.image_checks import ByteSource, check_images
from harness_data.pair_findings import LEFT_OUT, PairFindings
from harness_data.text_encoding import DAMAGED, UTF8, DecodedText, decode_texts, summarise_encodings

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class UnreadPair:
    """A pair whose files have not been opened. Its text is a source to read, or a string from a table."""

    id: str
    label: int
    image: ByteSource | None
    text: ByteSource | str | None
    facts: Mapping[str, str] = field(default_factory=dict)
    image_name: str = ""
    """The name of the image in reports, even if it is missing."""
    text_name: str = ""


def read_texts(entries: Sequence[UnreadPair], encoding: str | None = None) -> dict[str, DecodedText]:
    """Read the texts that lie in files, by place, without the unreadable ones.

    Decode them as one collection (`text_encoding`); `encoding`, if given, is that of texts that are not UTF-8.
    """
    read: dict[str, bytes] = {}
    for entry in entries:
        if entry.text is not None and not isinstance(entry.text, str):
            with suppress(DataError):
                read[entry.text.place] = entry.text.read()
    return dict(zip(read, decode_texts(list(read.values()), encoding), strict=True))


class PairSplit:
    """A `Split` of pairs of an image and a text, either of which may be missing.

    All texts are read and all images checked on opening, so that no run fails half-way. `texts` N (""
    if missing), `has_text` and `has_image` N bool, `encodings` N (of the text's file, or ""), `groups` (by
    name N bool or N str: `missing_text`, `missing_image`, the facts of the pairs and, if these are two
    polarities, their `agreement`), `report` (for JSON: problems with counts and names), `remarks` (the same
    in a line), `left_out` (ids of pairs with neither). A sample's image is None if `has_image` is False.
    """

    per_sample = ("texts", "has_text", "has_image", "encodings", "groups")

    def __init__(
        self,
        entries: Sequence[UnreadPair],
        class_names: Sequence[str],
        findings: PairFindings,
        where: str,
        whole: Mapping[str, Any] | None = None,
        read: Mapping[str, DecodedText] | None = None,
    ) -> None:
        """Check the images and take the texts from `read`; leave out pairs that have neither.

        `findings` holds the known problems of these pairs; `whole` reports on the collection. Without `read`,
        read the texts here and decode them as one collection. Raises DataError naming `where` if no pair is
        left.
        """
        known = read_texts(entries) if read is None else read
        pairs = [_choose_text(entry, known, findings) for entry in entries]
        texts, encodings = [text for text, _ in pairs], [encoding for _, encoding in pairs]
        seen = _check_images(entries, findings)
        kept = [i for i in range(len(entries)) if texts[i] or seen[i]]
        self.left_out = [
            e.id for e, text, sees in zip(entries, texts, seen, strict=True) if not (text or sees)
        ]
        findings.extend("neither text nor image", self.left_out)
        if not kept:
            wrong = {kind: found["count"] for kind, found in (whole or {}).items()} | dict(findings.counts())
            why = f" ({', '.join(f'{kind}: {count}' for kind, count in wrong.items())})" if wrong else ""
            raise DataError(f"{where}: no pair has a readable text or image{why}")
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
            "kinds": findings.build_report(),
            "whole": dict(whole or {}),
        }
        lines = [findings.describe(LEFT_OUT, "of these pairs"), summarise_encodings(self.encodings)]
        self.remarks: Sequence[str] = [text for text in lines if text]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        entry = self._entries[index]
        image = None
        if entry.image is not None and self.has_image[index]:
            image = EncodedImage(entry.image.read(), entry.image.place)
        return Sample(entry.id, image, int(self.targets[index]), self.texts[index])


def _choose_text(
    entry: UnreadPair, read: Mapping[str, DecodedText], findings: PairFindings
) -> tuple[str, str]:
    """Return the text and the encoding of its file, each "" if missing."""
    encoding, text, name = "", entry.text, entry.text_name or entry.id
    if text is not None and not isinstance(text, str):
        decoded = read.get(text.place)
        text, encoding = (decoded.text, decoded.encoding) if decoded is not None else (None, "")
    if text is None:
        findings.add("text missing", name)
        return "", ""
    text = text.replace("\0", "").strip()
    if not text:
        findings.add("text empty", name)
    elif encoding.endswith(DAMAGED):
        findings.add("text damaged", name)
    elif encoding not in ("", UTF8):
        findings.add("text not in UTF-8", f"{name} ({encoding})")
    return text, encoding


def _check_images(entries: Sequence[UnreadPair], findings: PairFindings) -> list[bool]:
    """Return whether each pair has a readable image."""
    there = [i for i, e in enumerate(entries) if e.image is not None]
    verdicts = dict(zip(there, check_images([e.image for e in entries if e.image is not None]), strict=True))
    for i, entry in enumerate(entries):
        name = entry.image_name or entry.id
        if i not in verdicts:
            findings.add("image missing", name)
        elif verdicts[i] != "colour":
            findings.add(f"image {verdicts[i]}", name)
    return [verdicts.get(i) in ("colour", "greyscale") for i in range(len(entries))]
