"""Prompt templates by name: ImageNet's 80 and 7, OpenAI's, CoOp's, clip_benchmark's, a data set's own, a file's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from harness import DataError, OptionError, Unavailable
from harness.errors import did_you_mean
from harness.inference.zeroshot import PLACE, check_templates
from harness_data.coop_templates import COOP

SPACES = {
    "imagenet-1k": "imagenet",
    "caltech-101": "caltech101",
    "oxford-iiit-pet": "oxford_pets",
    "stanford-cars": "stanford_cars",
    "flowers-102": "oxford_flowers",
    "food-101": "food101",
    "fgvc-aircraft": "fgvc_aircraft",
    "sun-397": "sun397",
}
"""CoOp's name of a data set by its label space, where the two differ."""

SETS = ("data", "coop", "imagenet-80", "imagenet-7")
PREFIXES = ("openai", "coop", "clip_benchmark")


def named_set(name: str, own: Sequence[str] | None = None, space: str = "") -> list[str]:
    """The templates of a set, each with `{}` for the class name.

    `data` is the data set's own (`own`); `imagenet-80` and `imagenet-7` are OpenAI's, as open_clip
    holds them; `openai:NAME` and `coop:NAME` are OpenAI's and CoOp's for that one of CoOp's data sets,
    `coop` alone for the one whose label space is `space`; `clip_benchmark:NAME` is that package's, when
    it is installed; anything with a suffix is a file: a JSON list, or one template per line.
    Raises OptionError, Unavailable or DataError.
    """
    kind, _, which = name.partition(":")
    if name == "openai:imagenet":
        name = "imagenet-80"
    if name == "data":
        if not own:
            raise DataError("the data set has no templates of its own: name another set")
        return check_templates(own, "the data set's templates", DataError)
    if name in ("imagenet-80", "imagenet-7"):
        import open_clip

        calls = (
            open_clip.OPENAI_IMAGENET_TEMPLATES
            if name == "imagenet-80"
            else open_clip.SIMPLE_IMAGENET_TEMPLATES
        )
        return [call("{}") for call in calls]
    if name == "coop":
        which = SPACES.get(space, space)
        if which not in COOP:
            raise OptionError(
                f"templates coop: the data set (label space '{space}') is none of CoOp's: name one, as in coop:eurosat"
            )
    if kind == "coop":
        if which not in COOP:
            raise OptionError(f"templates: CoOp has no data set '{which}'{did_you_mean(which, COOP)}")
        return [COOP[which]]
    if kind == "openai":
        if which not in (openai := _openai()):
            raise OptionError(
                f"templates: none of OpenAI's are known for '{which}'{did_you_mean(which, ('imagenet', *openai))}"
            )
        return list(openai[which])
    if kind == "clip_benchmark":
        return _clip_benchmark(which)
    if Path(name).suffix:
        return _from_file(Path(name).expanduser())
    known = [*SETS, *(f"{p}:NAME" for p in PREFIXES), "FILE.json", "FILE.txt"]
    raise OptionError(f"templates: no set '{name}'{did_you_mean(name, known)}")


class FromTemplates:
    """What methods with an option `templates` share: the templates' text is a part of what they are."""

    templates: str | list[str]

    def fingerprint(self) -> str:
        """A digest of templates that lie elsewhere; empty for those that a name or the options tell."""
        return digest(self.templates)


def from_option(given: str | list[str]) -> str | list[str]:
    """Return an option `templates`: a list's templates checked, the name of a set or a file as it is.

    Raises OptionError for what can't be right whatever the data set.
    """
    if not isinstance(given, str):
        return check_templates(given)
    if PLACE.search(given):
        raise OptionError(f"templates: '{given}' is a template: write a list of them, [\"{given}\"]")
    elsewhere = given.startswith("clip_benchmark:") or bool(Path(given).suffix)
    if not elsewhere and given not in (*SETS, "openai:imagenet"):
        named_set(given)
    return given


def digest(given: str | Sequence[str]) -> str:
    """Of a file's content or another package's set; empty for what a name or the options tell.

    Raises OptionError for a file that is not there, Unavailable for a package that is not installed.
    """
    if not isinstance(given, str):
        return ""
    if given.startswith("clip_benchmark:"):
        return hashlib.sha256("\n".join(named_set(given)).encode()).hexdigest()[:16]
    if not Path(given).suffix:
        return ""
    path = Path(given).expanduser()
    if not path.is_file():
        raise OptionError(f"{path}: no such file")
    _from_file(path)  # a file without good templates is told at planning
    return file_digest(path)


def file_digest(path: Path) -> str:
    """Of a file's content; 16 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@cache
def _openai() -> dict[str, list[str]]:
    """OpenAI's templates by data set (`data/prompts.md` of openai/CLIP)."""
    file = Path(__file__).with_name("openai_templates.json")
    found: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _clip_benchmark(name: str) -> list[str]:
    spec = find_spec("clip_benchmark")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(f"templates clip_benchmark:{name}: install clip_benchmark, or give a file")
    folder = Path(spec.submodule_search_locations[0]) / "datasets"
    found = json.loads((folder / "en_zeroshot_classification_templates.json").read_text(encoding="utf-8"))
    if name not in found:
        raise OptionError(f"templates: clip_benchmark has no set '{name}'{did_you_mean(name, found)}")
    return check_templates(found[name], f"clip_benchmark:{name}", DataError)


def _from_file(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else [s.strip() for s in text.splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: templates can't be read: {error}") from None
    if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
        raise DataError(f"{path}: expected a list of templates")
    return check_templates([t for t in found if t], str(path), DataError)
