"""Images whose pixels are class numbers: palette or grey files, read as numbers and never as colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError, OptionError
from harness_data.file_names import escape_file_name

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray

UNCOUNTED = 255
"""The class of pixels that are not counted, in `Masks.semantic`."""

MOST_CLASSES = 255
VALUES = 2**16

SCALED = {"L;2": 85, "L;4": 17}
"""Factors by which Pillow multiplies the values of grey PNGs with few bits, so that they range to 255."""

MODES = ("P", "L", "1", "I", "I;16", "I;16B")


@dataclass(frozen=True)
class LabelTable:
    """The class of each value in a file: index by value; other values are faults, if they are not listed."""

    classes: Mapping[int, int]
    """Class, or 255 for not counted, by value."""

    def translate(self, values: NDArray[np.integer], where: str) -> NDArray[np.uint8]:
        """Return the class of each pixel. Raises DataError, naming the file, for a value that is no class's."""
        import numpy as np

        table = np.full(VALUES + 1, -1, np.int16)
        table[list(self.classes)] = list(self.classes.values())
        places: NDArray[Any] = values
        if values.dtype not in (
            np.uint8,
            np.uint16,
        ):  # the table's last place is for all that are out of range
            places = np.where((values >= 0) & (values < VALUES), values, VALUES)
        found: NDArray[np.int16] = table[places]
        if (wrong := found < 0).any():
            row, column = (int(n) for n in np.argwhere(wrong)[0])
            known = sorted(value for value, label in self.classes.items() if label != UNCOUNTED)
            raise DataError(
                f"{where}: {int(wrong.sum())} pixels have values of no class, the first {int(values[row, column])} at row "
                f"{row}, column {column}; classes have {_shorten(known)}"
            )
        return found.astype(np.uint8)


def make_label_table(values: list[int], ignored: int | None, option: str) -> LabelTable:
    """Return the table of classes 0, 1, … that have these values, and of one that is not counted.

    Raises OptionError, naming the option, for more classes than there is room for, and values that are out of range,
    repeated, or both counted and not.
    """
    if len(values) > MOST_CLASSES:
        raise OptionError(
            f"{option}: at most {MOST_CLASSES} classes, since 255 means not counted; found {len(values)}"
        )
    if wrong := [v for v in (*values, *([] if ignored is None else [ignored])) if not 0 <= v < VALUES]:
        raise OptionError(f"{option}: values of pixels are 0 to {VALUES - 1}, not {wrong[0]}")
    if len(set(values)) < len(values):
        twice = next(v for v in values if values.count(v) > 1)
        raise OptionError(f"{option}: the value {twice} has two classes")
    table = {value: label for label, value in enumerate(values)}
    if ignored in table:
        raise OptionError(f"{option}: the value {ignored} has a class, and is the one that is not counted")
    if ignored is not None:
        table[ignored] = UNCOUNTED
    return LabelTable(table)


def read_map_size(path: Path) -> tuple[int, int]:
    """Return width and height of a label map from its header.

    Raises DataError, naming the file, if it can't be read or can't hold class numbers.
    """
    with _open(path) as image:
        return image.size


def read_label_map(path: Path, table: LabelTable) -> NDArray[np.uint8]:
    """Return the class of each pixel H×W; 255 is not counted.

    Raises DataError, naming the file, if it can't be read, can't hold class numbers, or holds a value of no class.
    """
    import numpy as np

    with _open(path) as image:
        scale = SCALED.get(_raw_mode(image), 1)
        try:
            values = np.asarray(image)
        except Exception as error:  # decoders of rarer formats raise anything
            raise DataError(f"{escape_file_name(str(path))}: damaged label map ({error})") from None
    whole = values.astype(np.uint8) if values.dtype == bool else values
    return table.translate(whole // scale if scale > 1 else whole, escape_file_name(str(path)))


def _open(path: Path) -> PIL.Image.Image:
    import PIL.Image

    where = escape_file_name(str(path))
    try:
        image = PIL.Image.open(path)
    except FileNotFoundError:
        raise DataError(f"{where}: no such label map") from None
    except Exception as error:  # decoders of rarer formats raise anything
        raise DataError(f"{where}: no label map that can be read ({error})") from None
    fault = None
    if image.format in ("JPEG", "MPO"):
        fault = "a JPEG file, whose compression changes class numbers: use the original PNG"
    elif image.mode not in MODES:
        fault = f"an image of colours ({image.mode}): expected a palette or grey file whose values are class numbers"
    if fault:
        image.close()
        raise DataError(f"{where}: {fault}")
    return image


def _raw_mode(image: PIL.Image.Image) -> str:
    """Return how the file stores its values, which is known until it is decoded."""
    tiles = getattr(image, "tile", None) or []
    stored = tiles[0][3] if tiles else ""
    return stored if isinstance(stored, str) else str(stored[0] if stored else "")


def _shorten(values: list[int]) -> str:
    if values == list(range(len(values))):
        return f"0 to {len(values) - 1}"
    return ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
