"""The data sets `scene-choices` and `scene-winoground`: which of two captions is true of a drawn scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness import DataError, OptionError, derive_seed
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from harness_embedded.choice_split import ChoiceSplit
    from harness_embedded.worded_scenes import SceneWords

CATEGORIES = ("replace shape", "replace colour", "replace background", "swap", "implausible")


class SceneChoices:
    """Drawn scenes of 32×32 pixels with two captions, one of which is true: a hard negative has the same form.

    The false caption names another shape, another colour of the object, or another colour of its background, or it
    swaps the two colours, so that it has the same words in another order ("a red circle on a blue background", "a blue
    circle on a red background"). The two captions are equally plausible: a model of texts alone is right by chance.
    Not so in the category "implausible", whose second caption is no false one but has its words in an order that isn't
    English ("a circle red on a blue background"): a model of texts alone solves it, and is expected to.

    `tiny-clip` can't read colours of backgrounds: in "replace background" it is right by chance. In "swap" it is often
    right, since it knows that the first colour is the object's.

    Args:
        categories: which of "replace shape", "replace colour", "replace background", "swap" and "implausible", by
            default all.
        count: scenes of a split; each has a choice of every category.
    """

    splits: Sequence[str] = ("train", "test")
    target_kind = "answers"
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(self, categories: list[str] | None = None, count: int = 200) -> None:
        asked = list(CATEGORIES) if categories is None else categories
        if not asked or isinstance(asked, str):
            raise OptionError(
                f"scene-choices: categories must be a list of at least one of {', '.join(CATEGORIES)}"
            )
        for category in asked:
            if category not in CATEGORIES:
                raise OptionError(
                    f"scene-choices: unknown category '{category}'{did_you_mean(category, CATEGORIES)}"
                )
        if len(set(asked)) < len(asked):
            raise OptionError(f"scene-choices: categories must be different, not {', '.join(asked)}")
        _check_count("scene-choices", count)
        self.categories, self.count = tuple(asked), count

    def fingerprint(self) -> str:
        """Return the versions of the drawing and of the choices."""
        from harness_embedded.worded_scenes import RECIPE

        return f"{RECIPE}+scene-choices-1"

    def load(self, split: str) -> ChoiceSplit:
        """Draw the scenes, or read them from the cache. Raises DataError if there is no such split."""
        import numpy as np

        from harness_embedded.choice_split import CaptionChoice, ChoiceSplit
        from harness_embedded.worded_scenes import RECIPE, load_worded

        if split not in self.splits:
            raise DataError(f"scene-choices has no split '{split}'{did_you_mean(split, self.splits)}")
        scenes = load_worded(f"choices-{split}", self.count, plain=True)
        choices = []
        for n, (frames, words) in enumerate(zip(scenes.images, scenes.words, strict=True)):
            group = f"scene-choices-{split}/{n:04d}"
            for category in self.categories:
                # from its own seed, so that a choice doesn't depend on the other categories
                rng = np.random.default_rng(derive_seed(RECIPE, "choice", split, n, category))
                pair = (words.write_caption(), write_negative(words, category, rng))
                right = int(rng.integers(2))
                captions = pair[::-1] if right else pair
                name = f"{group}/{category.replace(' ', '-')}"
                choices.append(CaptionChoice(name, group, category, frames[0], captions, right))
        return ChoiceSplit(choices)


class SceneWinoground:
    """Pairs of drawn scenes that differ in which of two colours is the object's and which its background's.

    Both images of a pair, a group, have the same two captions, which consist of the same words; each caption is true of
    one image. Modelled on Winoground (Thrush et al., 2022), <https://arxiv.org/abs/2204.03162>. Reading the object's
    colour suffices, as `tiny-clip` does; it can't be solved without the image, or without the order of the words.

    Args:
        count: pairs of a split.
    """

    splits: Sequence[str] = ("train", "test")
    target_kind = "answers"
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(self, count: int = 200) -> None:
        _check_count("scene-winoground", count)
        self.count = count

    def fingerprint(self) -> str:
        """Return the versions of the drawing and of the pairs."""
        from harness_embedded.worded_scenes import RECIPE

        return f"{RECIPE}+scene-winoground-1"

    def load(self, split: str) -> ChoiceSplit:
        """Draw the scenes, or read them from the cache. Raises DataError if there is no such split."""
        from harness_embedded.choice_split import CaptionChoice, ChoiceSplit
        from harness_embedded.worded_scenes import load_worded

        if split not in self.splits:
            raise DataError(f"scene-winoground has no split '{split}'{did_you_mean(split, self.splits)}")
        sides = [
            load_worded(f"winoground-{split}", self.count, plain=True, swapped=swapped)
            for swapped in (False, True)
        ]
        choices = []
        for n in range(self.count):
            group = f"scene-winoground-{split}/{n:04d}"
            captions = tuple(side.words[n].write_caption() for side in sides)
            choices += [
                CaptionChoice(f"{group}/{right}", group, "colours", side.images[n, 0], captions, right)
                for right, side in enumerate(sides)
            ]
        return ChoiceSplit(choices)


def write_negative(words: SceneWords, category: str, rng: np.random.Generator) -> str:
    """Return the caption that differs from a scene's own as the category says; `rng` chooses what replaces a word."""
    from harness_embedded.sampling import COLOURS
    from harness_embedded.shapes import CLASSES

    # a replaced colour is never that of the other part: both captions name two colours
    colours = [name for name in COLOURS if name not in (words.colour, words.ground)]
    match category:
        case "replace shape":
            other = str(rng.choice([name for name in CLASSES if name != words.shape]))
            return replace(words, shape=other).write_caption()
        case "replace colour":
            return replace(words, colour=str(rng.choice(colours))).write_caption()
        case "replace background":
            return replace(words, ground=str(rng.choice(colours))).write_caption()
        case "swap":
            return replace(words, colour=words.ground, ground=words.colour).write_caption()
        case _:
            return words.write_caption().replace(
                f"{words.colour} {words.shape}", f"{words.shape} {words.colour}"
            )


def _check_count(name: str, count: int) -> None:
    if not 1 <= count <= 5000:
        raise OptionError(f"{name}: count must be from 1 to 5000, not {count}")
