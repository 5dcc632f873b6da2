"""The data set `scene-films`: drawn scenes as frames of films, with a title that tells a part of the label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness import DataError, OptionError, Sample, derive_seed
from harness.errors import did_you_mean

_POOL = {"train": 3000, "test": 1500}
"""Scenes that each split draws from."""

_PER_SERIES = 2
"""Films of a series; they have one colour, and are not independent."""


class SceneFilms:
    """Films whose frames are drawn scenes of 32×32 pixels, all with objects of the same colour: the label.

    The title tells of the colour only whether it is among the first half of them (a film of the day) or the second (of
    the night): a model that reads titles alone is right once in as many colours as a half has. Two films each are a
    series, the split's `groups`; `titles` are the titles.

    Args:
        several: let the target be several labels, the colour and "day" or "night"; else it is the colour.
        frames: frames of a film.
        count: films of a split.
    """

    splits: Sequence[str] = ("train", "test")
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(self, several: bool = False, frames: int = 2, count: int = 120) -> None:
        if not 1 <= frames <= 8:
            raise OptionError(f"scene-films: frames must be from 1 to 8, not {frames}")
        if not 2 <= count <= 400:
            raise OptionError(f"scene-films: count must be from 2 to 400, not {count}")
        self.several, self.frames, self.count = several, frames, count
        self.target_kind = "label sets" if several else "label"

    def fingerprint(self) -> str:
        """Return the versions of the drawing and of the films."""
        from harness_embedded.speaking_scenes import RECIPE

        return f"{RECIPE}+scene-films-1"

    def load(self, split: str) -> FilmSplit:
        """Draw the scenes, or read them from the cache, and make films of them. Raises DataError for no such split."""
        from harness_embedded.sampling import COLOURS
        from harness_embedded.speaking_scenes import RECIPE, find_named, load_known_scenes
        from harness_embedded.speaking_words import MADE_UP_WORDS, SEEN_COLOURS

        if split not in self.splits:
            raise DataError(f"scene-films has no split '{split}'{did_you_mean(split, self.splits)}")
        scenes = load_known_scenes(f"films-{split}", _POOL[split])
        named = find_named(scenes, "seen")
        names = list(SEEN_COLOURS)
        films: list[tuple[str, str, int, Any]] = []
        for number in range(self.count):
            series = number // _PER_SERIES
            colour = series % len(names)
            rng = np.random.default_rng(derive_seed(RECIPE, "film", split, number))
            own = named[scenes.colour[named] == list(COLOURS).index(names[colour])]
            shown = scenes.images[rng.choice(own, self.frames, replace=False)]
            time = "day" if colour < len(names) // 2 else "night"
            title = f"The {rng.choice(MADE_UP_WORDS)} of the {time}"
            films.append((f"series-{split}-{series:03d}", title, colour, shown))
        return FilmSplit(films, split, names, self.several)


class FilmSplit:
    """Films in memory, with `groups`, the series, and `titles`."""

    per_sample = ("groups", "titles")

    def __init__(
        self, films: Sequence[tuple[str, str, int, Any]], split: str, names: Sequence[str], several: bool
    ) -> None:
        self.ids: Sequence[str] = [f"film-{split}-{n:03d}" for n in range(len(films))]
        self.groups = [series for series, *_ in films]
        self.titles = [title for _, title, *_ in films]
        self._frames = [frames for *_, frames in films]
        colours = np.array([colour for *_, colour, _ in films], np.int64)
        self.class_names: Sequence[str] = [*names, "day", "night"] if several else list(names)
        self.targets = colours
        if several:
            half = np.array([title.endswith("night") for title in self.titles], np.int64)
            self.targets = np.zeros((len(films), len(names) + 2), np.int64)
            self.targets[np.arange(len(films)), colours] = 1
            self.targets[np.arange(len(films)), len(names) + half] = 1

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        target = self.targets[index]
        told: dict[str, Any] = {"label": int(target)} if self.targets.ndim == 1 else {"target": target}
        return Sample(self.ids[index], images=list(self._frames[index]), text=self.titles[index], **told)
