"""The options of the protocol `retrieval` and their checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness import OptionError
from harness.inference.splits import find_named_split, training_split
from harness.inference.zeroshot import check_templates

Direction = Literal["image to text", "text to image"]

IMAGE_TO_TEXT: Direction = "image to text"
TEXT_TO_IMAGE: Direction = "text to image"
DIRECTIONS: tuple[Direction, ...] = (IMAGE_TO_TEXT, TEXT_TO_IMAGE)


class RetrievalOptions:
    """Checked options of the protocol; `RetrievalProtocol` documents each. Raises OptionError for bad values."""

    def __init__(
        self,
        split: str | None = None,
        captions: int | None = None,
        template: str = "{}",
        ties: Literal["expected", "id"] = "expected",
        bank_split: str | None = None,
        bank: int = 5000,
        depth: int = 10,
        memory: int = 256,
        engine: Literal["torch", "faiss"] = "torch",
    ) -> None:
        for name, value in (("captions", captions), ("bank", bank), ("depth", depth), ("memory", memory)):
            if value is not None and value < 1:
                raise OptionError(f"retrieval: {name} must be at least 1, not {value}")
        self.split, self.captions, self.ties = split, captions, ties
        self.template = check_templates([template], "retrieval: template")[0]
        self.bank_split, self.bank, self.depth = bank_split, bank, depth
        self.memory, self.engine = memory, engine


def find_bank(splits: Sequence[str], asked: str | None) -> str | None:
    """Return the split to take a bank of queries from: the one asked for, else that for training; None without one."""
    return training_split(splits) if asked is None else find_named_split(splits, asked)
