"""The data set `mvsa` (MVSA-Single and -Multiple): tweets whose text and image were annotated separately.

Niu, Zhu, Pang, El Saddik, "Sentiment analysis on multi-view social data", MMM 2016. The usual rule (Xu and
Mao, "MultiSentiNet", CIKM 2017) joins the labels of text and image: of several annotators the majority counts
per modality; opposite polarities are dropped; neutral and polar become polar.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.pair_layout import ALL
from harness_data.pairs import PairFolder
from harness_data.roots import resolve_below_root
from harness_data.text_encoding import check_encoding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness_data.pair_tables import PairTable

CLASSES = ("negative", "neutral", "positive")
LABEL_FILE = "labelResultAll.txt"


def vote_mvsa_label(votes: Sequence[str]) -> str | None:
    """Return the label given by more than half of the annotators, or None."""
    label, count = Counter(votes).most_common(1)[0]
    return label if 2 * count > len(votes) else None


def join_mvsa_labels(text: str, image: str) -> str | None:
    """Return one polarity for a pair: the shared one, or the polar one beside neutral; None if opposite.

    >>> join_mvsa_labels("neutral", "negative")
    'negative'
    """
    if text == image:
        return text
    if "neutral" in (text, image):
        return image if text == "neutral" else text
    return None


class MVSA(PairFolder):
    """MVSA from its folder: `labelResultAll.txt` beside `data/<id>.jpg` and `data/<id>.txt`.

    The file determines the number of annotators (one: MVSA-Single; three: MVSA-Multiple). The `report` counts
    the pairs that the label rule drops; `groups` holds the labels of the single modalities as `text_polarity`
    and `image_polarity`.

    Args:
        path: the folder of `labelResultAll.txt`, itself or below $HARNESS_DATA_ROOT.
        encoding: of texts that are not UTF-8; by default guessed from all texts
            (`harness_data.text_encoding`).
    """

    def __init__(self, path: Path, *, encoding: str | None = None) -> None:
        """Store the options."""
        self.path, self.encoding = resolve_below_root(path), check_encoding(encoding, "mvsa")

    @property
    def _classes(self) -> list[str]:
        return list(CLASSES)

    @property
    def _known_classes(self) -> Sequence[str]:
        return CLASSES

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if (self.path / LABEL_FILE).is_file():
            return None
        return (
            f"{self.path}: no {LABEL_FILE} in it; get MVSA-Single or MVSA-Multiple from its authors "
            "(McMaster University) and unpack it there"
        )

    def _read_tables(self) -> dict[str, PairTable]:
        from harness_data.pair_tables import PairRow, PairTable
        from harness_data.scanning import read_sample_file
        from harness_data.text_encoding import decode_table

        file = self.path / LABEL_FILE
        table = PairTable(file)
        lines = decode_table(read_sample_file(file), self.encoding)[0].splitlines()
        if not lines or "text,image" not in lines[0].replace(" ", ""):
            raise DataError(f"{file}: its first line must be 'ID', then 'text,image' for each annotator")
        annotators = lines[0].replace(" ", "").count("text,image")
        for number, line in enumerate(lines[1:], 2):
            where = f"{file.name}:{number}"
            identity, *cells = line.strip().split("\t")
            votes = [cell.replace(" ", "").lower().split(",") for cell in cells if cell.strip()]
            if not identity and not cells:
                continue
            if len(votes) != annotators or any(len(v) != 2 or not {*v} <= {*CLASSES} for v in votes):
                table.broken.append(where)
                continue
            text, image = vote_mvsa_label([t for t, _ in votes]), vote_mvsa_label([i for _, i in votes])
            label, reason = None, None
            if text is None or image is None:
                reason = "labels without majority"
            elif (label := join_mvsa_labels(text, image)) is None:
                reason = "labels opposite"
            facts = {"text_polarity": text or "", "image_polarity": image or ""}
            table.rows.append(PairRow(identity, label, None, None, where, facts, reason))
        return {ALL: table}
