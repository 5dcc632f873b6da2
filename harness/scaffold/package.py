"""Writing a new package: filled templates, in a folder that appears whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from harness.contract.declared import API_VERSION
from harness.errors import HarnessError
from harness.scaffold.names import PackageNames

MARK = re.compile(r"\{\{(\w+)\}\}")


def render_files(names: PackageNames) -> dict[str, str]:
    """Return the texts of a new package's files, by their paths inside it."""
    own = names.kind
    values = {
        "name": names.plugin,
        "kind": {"dataset": "data set", "loss": "GAN loss", "published": "set of published results"}.get(
            own, own
        ),
        "module": names.module,
        "cls": names.cls,
        "function": names.function,
        "group": names.group,
        "target": names.target,
        "harness": ".".join(version("vision-harness").split(".")[:2]),
        "api": str(API_VERSION),
        "stubs": ', "pandas-stubs"' if own in ("summary", "plot") else "",
    }
    for part in ("about", "use", "module_is"):  # the kind's own parts of the README
        values[part] = _fill(f"{own}/{part}", values).strip()
    suite = f"{names.module}/{names.plugin}.toml"
    more = {
        "suite": {suite: "suite/suite.toml"},
        "published": {f"{names.module}/published/{names.plugin}.csv": "published/set.csv"},
        "importer": {"example.csv": "importer/example.csv"},
        "fusion": {
            "try.toml": "fusion/try.toml",
            f"{names.module}/network.py": "fusion/network.py",
        },
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{names.module}/__init__.py": f"{own}/module.py",
        f"tests/test_{names.module}.py": f"{own}/test.py",
        **more.get(own, {"try.toml": f"{own}/try.toml"}),
    }
    written = {path: _fill(template, values) for path, template in templates.items()}
    return {**written, f"{names.module}/py.typed": ""}


def write_package(names: PackageNames, parent: Path) -> Path:
    """Write a new package into `parent`, in a folder of its name, and return that folder.

    Raises HarnessError if the folder exists: nothing is ever overwritten.
    """
    target = parent / names.plugin
    if parent.exists() and not parent.is_dir():
        raise HarnessError(f"harness new: --out {parent}: not a folder")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            raise FileExistsError
        made = parent / f".{names.plugin}-{os.getpid()}"
        made.mkdir()
        try:
            for path, text in render_files(names).items():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8")
            made.rename(target)  # refused if somebody has filled the place meanwhile
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except FileExistsError:
        raise HarnessError(
            f"harness new: {target} is there already, and nothing is overwritten: "
            "choose another name, or another place with --out"
        ) from None
    except OSError as error:
        raise HarnessError(f"harness new: {target} can't be written: {error.strerror or error}") from None
    return target


def _fill(template: str, values: dict[str, str]) -> str:
    """Return a template with its marks replaced. Its file ends in .txt, so that no tool reads it as code."""
    file = files("harness.scaffold").joinpath("templates", f"{template}.txt")
    return MARK.sub(lambda found: values[found[1]], file.read_text(encoding="utf-8"))
