"""What an actor is told before it builds its worker: settings, folders, and how to see whether it shares them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.records.files import TEMPORARY_PREFIX
from harness.records.paths import DATA_ROOT, cache_dir
from harness.running.worker import RunSettings

CACHE = "HARNESS_CACHE"

CHOICES = ("HARNESS_TRUST_MTIME", "HARNESS_MAX_PIXELS", "HARNESS_MAX_EVIDENCE")
"""Variables of the driver that decide what cells give, on any node: a cluster's daemons have an environment of their own."""


@dataclass(frozen=True)
class Setup:
    """Settings with absolute paths, the driver's working folder, and the places of its data and cache.

    A node that finds the `token` in the store has the driver's file system. `shared` says so without a look.
    """

    settings: RunSettings
    folder: Path
    environment: Mapping[str, str]
    shared: bool | None
    token: Path | None = None
    choices: Mapping[str, str | None] = field(default_factory=dict)
    """`CHOICES` as the driver has them; None for one that is not set."""

    def is_shared(self) -> bool:
        """Return whether this process sees the driver's store."""
        if self.shared is not None:
            return self.shared
        return self.token is not None and self.token.is_file()


def make_setup(settings: RunSettings, shared: bool | None) -> Setup:
    """Return the setup for actors wherever they are: where a daemon was started decides nothing."""
    cache = settings.cache.absolute() if settings.cache else None
    environment = {CACHE: str(cache_dir().absolute())}
    if root := os.environ.get(DATA_ROOT):
        environment[DATA_ROOT] = str(Path(root).expanduser().absolute())
    whole = replace(settings, store=settings.store.absolute(), cache=cache)
    choices = {name: os.environ.get(name) for name in CHOICES}
    return Setup(whole, Path.cwd(), environment, shared, choices=choices)


@contextmanager
def offering_token(setup: Setup) -> Iterator[Setup]:
    """Keep a token in the store inside the block; yield the setup that names it."""
    if setup.shared is not None:
        yield setup
        return
    with tempfile.NamedTemporaryFile(dir=setup.settings.store, prefix=f"{TEMPORARY_PREFIX}ray-") as file:
        yield replace(setup, token=Path(file.name))


def enter(setup: Setup, own_store: Path) -> RunSettings:
    """Take over the driver's folders in this process; return the settings for its worker.

    Without the driver's file system the store is `own_store`, and cache and data are where this node has them.
    """
    for name, value in setup.choices.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if not setup.is_shared():
        return replace(setup.settings, store=own_store)
    os.environ.update(setup.environment)
    os.chdir(setup.folder)
    return setup.settings
