"""Prompt templates by name: ImageNet's 80 and 7, OpenAI's, CoOp's, clip_benchmark's, the data set's, or a file's."""

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
from harness_data.coop_templates import COOP_TEMPLATES

COOP_NAMES = {
    "imagenet-1k": "imagenet",
    "caltech-101": "caltech101",
    "oxford-iiit-pet": "oxford_pets",
    "stanford-cars": "stanford_cars",
    "flowers-102": "oxford_flowers",
    "food-101": "food101",
    "fgvc-aircraft": "fgvc_aircraft",
    "sun-397": "sun397",
}
"""CoOp's name of a data set by its label space, if the two differ."""

TEMPLATE_SETS = ("data", "coop", "imagenet-80", "imagenet-7")
PREFIXES = ("openai", "coop", "clip_benchmark")


def find_templates(name: str, own: Sequence[str] | None = None, space: str = "") -> list[str]:
    """Return the templates of a set, each with `{}` for the class name.

    `data` is the data set's own (`own`); `imagenet-80` and `imagenet-7` are OpenAI's, from open_clip;
    `openai:NAME` and `coop:NAME` are OpenAI's and CoOp's for that one of CoOp's data sets, and `coop` alone
    is CoOp's for the label space `space`; `clip_benchmark:NAME` is from that package, if installed; a name
    with a suffix is a file: a JSON list, or one template per line.
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
        which = COOP_NAMES.get(space, space)
        if which not in COOP_TEMPLATES:
            raise OptionError(
                f"templates coop: the data set (label space '{space}') is not one of CoOp's: name one, as in coop:eurosat"
            )
    if kind == "coop":
        if which not in COOP_TEMPLATES:
            raise OptionError(
                f"templates: CoOp has no data set '{which}'{did_you_mean(which, COOP_TEMPLATES)}"
            )
        return [COOP_TEMPLATES[which]]
    if kind == "openai":
        if which not in (openai := _read_openai_templates()):
            raise OptionError(
                f"templates: none of OpenAI's are known for '{which}'{did_you_mean(which, ('imagenet', *openai))}"
            )
        return list(openai[which])
    if kind == "clip_benchmark":
        return _read_clip_benchmark(which)
    if Path(name).suffix:
        return _read_templates(Path(name).expanduser())
    known = [*TEMPLATE_SETS, *(f"{p}:NAME" for p in PREFIXES), "FILE.json", "FILE.txt"]
    raise OptionError(f"templates: no set '{name}'{did_you_mean(name, known)}")


class FromTemplates:
    """Base of methods with an option `templates`: the templates' text is part of their fingerprint."""

    templates: str | list[str]

    def fingerprint(self) -> str:
        """Return a digest of templates kept elsewhere; empty if the options determine them."""
        return digest_templates(self.templates)


def check_templates_option(given: str | list[str]) -> str | list[str]:
    """Return the option `templates`: a list with its templates checked, the name of a set or file unchanged.

    Raises OptionError for a value that is wrong for every data set.
    """
    if not isinstance(given, str):
        return check_templates(given)
    if PLACE.search(given):
        raise OptionError(f"templates: '{given}' is a template: write a list of them, [\"{given}\"]")
    elsewhere = given.startswith("clip_benchmark:") or bool(Path(given).suffix)
    if not elsewhere and given not in (*TEMPLATE_SETS, "openai:imagenet"):
        find_templates(given)
    return given


def digest_templates(given: str | Sequence[str]) -> str:
    """Return a digest of a file or of another package's set; empty if the option determines the templates.

    Raises OptionError for a missing file, DataError for one without good templates, Unavailable for a package
    that is not installed.
    """
    if not isinstance(given, str):
        return ""
    if given.startswith("clip_benchmark:"):
        return hashlib.sha256("\n".join(find_templates(given)).encode()).hexdigest()[:16]
    if not Path(given).suffix:
        return ""
    path = Path(given).expanduser()
    if not path.is_file():
        raise OptionError(f"{path}: no such file")
    _read_templates(path)  # so that a bad file is reported at planning
    return digest_file(path)


def digest_file(path: Path) -> str:
    """Return a digest of a file's content, 16 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@cache
def _read_openai_templates() -> dict[str, list[str]]:
    """Read OpenAI's templates by data set (`data/prompts.md` of openai/CLIP)."""
    file = Path(__file__).with_name("openai_templates.json")
    found: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _read_clip_benchmark(name: str) -> list[str]:
    spec = find_spec("clip_benchmark")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(f"templates clip_benchmark:{name}: install clip_benchmark, or give a file")
    folder = Path(spec.submodule_search_locations[0]) / "datasets"
    found = json.loads((folder / "en_zeroshot_classification_templates.json").read_text(encoding="utf-8"))
    if name not in found:
        raise OptionError(f"templates: clip_benchmark has no set '{name}'{did_you_mean(name, found)}")
    return check_templates(found[name], f"clip_benchmark:{name}", DataError)


def _read_templates(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else [s.strip() for s in text.splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: templates can't be read: {error}") from None
    if not isinstance(found, list) or not all(isinstance(t, str) for t in found):
        raise DataError(f"{path}: expected a list of templates")
    return check_templates([t for t in found if t], str(path), DataError)
