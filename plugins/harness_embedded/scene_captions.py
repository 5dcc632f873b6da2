"""The data set `scene-captions`: drawn scenes, or films of them, with five captions each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import DataError, OptionError, Sample
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from harness_embedded.worded_scenes import WordedScenes


class SceneCaptions:
    """Drawn scenes of 32×32 pixels with five captions each, in words that `tiny-clip` has learned.

    The captions name the object and its colour, texture and surroundings, in five wordings; two of them name all, and
    three less, so that some images share a caption. `tiny-clip` reads shapes and colours of objects, but hardly textures,
    and nothing of the surroundings: captions that tell images apart by these alone are beyond it.

    Args:
        frames: images of a sample. With several it is a film in which the object grows and moves; its captions are
            true of every frame.
        count: scenes of a split.
    """

    splits: Sequence[str] = ("train", "test")
    target_kind = "captions"
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(self, frames: int = 1, count: int = 200) -> None:
        if not 1 <= frames <= 16:
            raise OptionError(f"scene-captions: frames must be from 1 to 16, not {frames}")
        if not 1 <= count <= 5000:
            raise OptionError(f"scene-captions: count must be from 1 to 5000, not {count}")
        self.frames, self.count = frames, count

    def fingerprint(self) -> str:
        """Return the versions of the drawing and of the captions."""
        from harness_embedded.worded_scenes import RECIPE

        return f"{RECIPE}+scene-captions-1"

    def load(self, split: str) -> CaptionedSplit:
        """Draw the scenes, or read them from the cache. Raises DataError if there is no such split."""
        from harness_embedded.worded_scenes import load_worded

        if split not in self.splits:
            raise DataError(f"scene-captions has no split '{split}'{did_you_mean(split, self.splits)}")
        scenes = load_worded(f"captions-{split}", self.count, frames=self.frames)
        return CaptionedSplit(scenes, f"scene-captions-{split}")


class CaptionedSplit:
    """Scenes in memory, each with its captions as target."""

    def __init__(self, scenes: WordedScenes, prefix: str) -> None:
        self._images = scenes.images
        self.ids: Sequence[str] = [f"{prefix}/{n:04d}" for n in range(len(scenes.words))]
        self.targets = [words.write_captions() for words in scenes.words]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], images=list(self._images[index]), target=self.targets[index])
