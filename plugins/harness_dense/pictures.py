"""Pictures of what was hit, missed and found where nothing is, and of the classes that a model gives pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness_dense.mask_codes import write_codes
from harness_dense.pixel_counts import UNCOUNTED

if TYPE_CHECKING:
    from PIL import Image, ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
Corners = tuple[int, int, int, int]
"""First and last column and row of a rectangle: left, top, right, bottom."""
Kind = Literal["hit", "miss", "false alarm"]

GREEN, BLUE, VERMILION = (0, 158, 115), (0, 114, 178), (213, 94, 0)
KIND_COLOURS: Final[dict[Kind, Colour]] = {"hit": GREEN, "miss": BLUE, "false alarm": VERMILION}
"""Of Okabe and Ito's colours, which those who see no red or green can tell apart; misses are also dashed, on white."""

CLASS_COLOURS: Final[tuple[Colour, ...]] = (
    (230, 159, 0), (86, 180, 233), GREEN, (240, 228, 66), BLUE, VERMILION, (204, 121, 167),
)  # fmt: skip
"""The rest of them, and as many again in a darker and in a lighter shade."""

BLACK, WHITE, INK = (0, 0, 0), (255, 255, 255), (31, 35, 40)
NOT_COUNTED, OTHER = (224, 224, 224), (128, 128, 128)

SMALLEST, LARGEST = 320, 1024
"""Sides of a picture: small images are enlarged in whole steps, large ones made smaller."""

PART = 192
"""The shorter side of a part of a picture of regions, at least."""

SHADE = 0.4
"""Share of the colour in the pixels of a mask."""

GAP = 6
"""Pixels between parts and around words."""


@dataclass(frozen=True, eq=False)
class MarkedObject:
    """An object in a picture: how it is marked, its box (left, top, right, bottom) in pixels, what is written there.

    `mask` is the `counts` of a run-length encoding of the image's size.
    """

    kind: Kind
    box: NDArray[np.float64]
    words: str
    mask: bytes | None = None


def draw_objects(image: Image.Image, objects: Sequence[MarkedObject]) -> Pixels:
    """Return a picture of an image with boxes, masks and words in the colours of their kinds, and a line that counts them.

    The image lies at the top left, enlarged by a whole number or made smaller; later objects lie above earlier ones.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    pixels = np.array(image.convert("RGB"), np.float32)
    for one in objects:
        if one.mask is not None:
            _shade(pixels, one.mask, KIND_COLOURS[one.kind])
    factor = choose_factor(image.size, SMALLEST)
    large = _resize(Images.fromarray(pixels.round().astype(np.uint8)), factor)
    pen, size = ImageDraw.Draw(large), max(12, round(max(large.size) / 36))
    for one in objects:
        left, top, right, bottom = np.rint(one.box * factor).astype(int).tolist()
        corners = (left, top, max(left, right - 1), max(top, bottom - 1))
        wide = max(2, round(max(large.size) / 240))
        _draw_frame(pen, corners, KIND_COLOURS[one.kind], wide, dashed=one.kind == "miss")
    taken: list[Corners] = []
    for one in objects:
        if one.words:
            place = _place_label(pen, one, factor, large.size, size, taken)
            taken.append(place)
            pen.rectangle(place, fill=KIND_COLOURS[one.kind])
            middle, ink = (place[0] + 2, (place[1] + place[3] + 1) / 2), _choose_ink(KIND_COLOURS[one.kind])
            pen.text(middle, one.words, font=_load_font(size), anchor="lm", fill=ink)
    counts = {kind: sum(one.kind == kind for one in objects) for kind in KIND_COLOURS}
    key = [(_count(n, kind), KIND_COLOURS[kind]) for kind, n in counts.items()]
    return _join([[np.array(large)]], key, size)


def draw_regions(
    pixels: Pixels, truth: NDArray[Any], predicted: NDArray[Any], class_names: Sequence[str]
) -> Pixels:
    """Return a picture of the image H×W×3, its true classes, the predicted ones, and the pixels where they differ.

    The four parts lie in two rows, with a key of the classes below. Pixels without a true class are light grey in all
    but the image; wrong ones are vermilion.
    """
    from PIL import Image as Images

    palette = colour_classes(class_names, truth, predicted)
    counted = truth != UNCOUNTED
    faded = (pixels.astype(np.float32) / 3 + 170).round().astype(np.uint8)
    wrong = np.where((counted & (truth != predicted))[..., None], np.array(VERMILION, np.uint8), faded)
    wrong[~counted] = NOT_COUNTED
    parts = [pixels, palette[truth], np.where(counted[..., None], palette[predicted], NOT_COUNTED), wrong]
    factor = choose_factor(truth.shape[::-1], PART)
    large = [np.array(_resize(Images.fromarray(part.astype(np.uint8)), factor)) for part in parts]
    shown = [int(c) for c in np.union1d(truth[counted], predicted[counted])]
    key: list[tuple[str, Colour]] = [(class_names[c], _as_colour(palette[c])) for c in shown]
    key += [("not counted", NOT_COUNTED)] * bool((~counted).any())
    words = ["image", "truth", "prediction", "wrong pixels"]
    size = max(12, round(max(large[0].shape) / 24))
    headed = [_put_words_above(part, text, size) for part, text in zip(large, words, strict=True)]
    return _join([headed[:2], headed[2:]], key, size)


def colour_classes(class_names: Sequence[str], truth: NDArray[Any], predicted: NDArray[Any]) -> Pixels:
    """Return a colour for each of 256 numbers, 256×3: "background" is black, 255 light grey.

    Colours are the classes' own if there are enough of them; else they go to the classes of this image, the largest
    first, and the rest is grey.
    """
    colours = [*CLASS_COLOURS, *(_mix(c, BLACK, 0.45) for c in CLASS_COLOURS)]
    colours += [_mix(c, WHITE, 0.55) for c in CLASS_COLOURS]
    palette = np.full((256, 3), OTHER, np.uint8)
    named = [c for c, name in enumerate(class_names) if name.strip().lower() != "background"]
    if len(named) > len(colours):
        pixels = np.bincount(np.concatenate([truth.ravel(), predicted.ravel()]), minlength=256)
        named = sorted((c for c in named if pixels[c]), key=lambda c: (-pixels[c], c))
    for c, colour in zip(named, colours):
        palette[c] = colour
    for c, name in enumerate(class_names):
        if name.strip().lower() == "background":
            palette[c] = BLACK
    palette[UNCOUNTED] = NOT_COUNTED
    return palette


def choose_factor(size: Sequence[int], least: int) -> float:
    """Return what an image's sides are multiplied by: a whole number up to `least` of the shorter one, or less than 1."""
    if max(size) > LARGEST:
        return LARGEST / max(size)
    return float(max(1, min(-(-least // min(size)), LARGEST // max(size))))


def _resize(image: Image.Image, factor: float) -> Image.Image:
    from PIL import Image as Images

    return image.resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor))),
        Images.Resampling.NEAREST,
    )


def _shade(pixels: NDArray[np.float32], counts: bytes, colour: Colour) -> None:
    from hotcoco import mask

    (code,) = write_codes([counts], pixels.shape[:2])
    inside = np.asarray(mask.decode(code), bool)
    pixels[inside] += SHADE * (np.array(colour, np.float32) - pixels[inside])


def _draw_frame(pen: ImageDraw.ImageDraw, corners: Corners, colour: Colour, wide: int, dashed: bool) -> None:
    if not dashed:
        pen.rectangle(corners, outline=colour, width=wide)
        return
    pen.rectangle(corners, outline=WHITE, width=wide)
    left, top, right, bottom = corners
    dash, step = 3 * wide, 5 * wide
    for x in range(left, right + 1, step):
        end = min(x + dash - 1, right)
        pen.rectangle((x, top, end, min(top + wide - 1, bottom)), fill=colour)
        pen.rectangle((x, max(bottom - wide + 1, top), end, bottom), fill=colour)
    for y in range(top, bottom + 1, step):
        end = min(y + dash - 1, bottom)
        pen.rectangle((left, y, min(left + wide - 1, right), end), fill=colour)
        pen.rectangle((max(right - wide + 1, left), y, right, end), fill=colour)


def _place_label(
    pen: ImageDraw.ImageDraw,
    one: MarkedObject,
    factor: float,
    size: tuple[int, int],
    points: int,
    taken: Sequence[Corners],
) -> Corners:
    """Return where an object's words go: above its box, or below, inside or beside it if others are there.

    Those of a miss go below if they can.
    """
    width, height = round(pen.textlength(one.words, _load_font(points))) + 4, points + 3
    left, top, right, bottom = np.rint(one.box * factor).astype(int).tolist()
    at = {"above": (left, top - height), "below": (left, bottom)}
    order = [at["below"], at["above"]] if one.kind == "miss" else [at["above"], at["below"]]
    order += [(left, top), (left, bottom - height), (right, top), (left - width, top)]
    places = []
    for x, y in order:
        x = max(0, min(x, size[0] - width))
        if 0 <= y <= size[1] - height:
            places.append((x, y, x + width - 1, y + height - 1))
    free = (p for p in places if not any(_meet(p, other) for other in taken))
    x, y = max(0, min(left, size[0] - width)), max(0, min(top, size[1] - height))
    return next(free, places[0] if places else (x, y, x + width - 1, y + height - 1))


def _meet(one: Corners, other: Corners) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _join(rows: Sequence[Sequence[Pixels]], key: Sequence[tuple[str, Colour]], points: int) -> Pixels:
    """Return parts in rows and columns on white, with a key of colours below in as many lines as it takes."""
    from PIL import Image as Images
    from PIL import ImageDraw

    height, width = rows[0][0].shape[:2]
    columns = len(rows[0])
    whole = columns * width + (columns - 1) * GAP
    font, line = _load_font(points), points + GAP
    measured = ImageDraw.Draw(Images.new("RGB", (1, 1)))
    places, x, y = [], 0, len(rows) * (height + GAP)
    for words, _ in key:
        needed = points + GAP + round(measured.textlength(words, font)) + 2 * GAP
        if x and x + needed > whole + 2 * GAP:
            x, y = 0, y + line
        places.append((x, y))
        x += needed
    picture = Images.new("RGB", (whole, (y + line) if key else y - GAP), WHITE)
    for row, parts in enumerate(rows):
        for column, part in enumerate(parts):
            picture.paste(Images.fromarray(part), (column * (width + GAP), row * (height + GAP)))
    pen = ImageDraw.Draw(picture)
    for (words, colour), (x, y) in zip(key, places, strict=True):
        pen.rectangle((x, y + 1, x + points - 1, y + points), fill=colour, outline=INK)
        pen.text((x + points + GAP, y + points / 2 + 1), words, font=font, anchor="lm", fill=INK)
    return np.array(picture)


def _put_words_above(part: Pixels, words: str, points: int) -> Pixels:
    from PIL import Image as Images
    from PIL import ImageDraw

    strip = Images.new("RGB", (part.shape[1], points + GAP), WHITE)
    ImageDraw.Draw(strip).text((0, points / 2 + 1), words, font=_load_font(points), anchor="lm", fill=INK)
    return np.concatenate([np.array(strip), part])


def _load_font(points: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont as Fonts

    return Fonts.load_default(points)


def _choose_ink(colour: Colour) -> Colour:
    """Return black or white, whichever can be read better on a colour."""
    return WHITE if float(np.dot(colour, (0.299, 0.587, 0.114))) < 100 else BLACK


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    return _as_colour(np.rint(np.array(colour) * (1 - share) + np.array(other) * share))


def _as_colour(values: NDArray[Any]) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _count(number: int, kind: Kind) -> str:
    plural = {"hit": "hits", "miss": "misses", "false alarm": "false alarms"}
    return f"{number} {kind if number == 1 else plural[kind]}"
