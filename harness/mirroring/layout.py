"""Names of a store's objects in its bucket: those of its files; any other name there is nobody's and stays there."""

from __future__ import annotations

import re
from pathlib import Path

from harness.records.store import ID, SUITE

RECORDS, SUITES, IMAGES, EVIDENCE = "records", "suites", "images", "evidence"

IMAGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}\.png")


def record_name(id: str) -> str:
    """Return the name of a record's object.

    >>> record_name("0123456789")
    'records/01/0123456789.json'
    """
    return f"{RECORDS}/{id[:2]}/{id}.json"


def suite_name(suite: str) -> str:
    """Return the name of the object with a suite's plan."""
    return f"{SUITES}/{suite}.json"


def parse_record_name(name: str) -> str | None:
    """Return the id of the record that an object's name stands for; None for any other name.

    >>> parse_record_name("records/01/0123456789.json"), parse_record_name("records/01/../../0123456789.json")
    ('0123456789', None)
    """
    id = name.rpartition("/")[2].removesuffix(".json")
    return id if ID.fullmatch(id) and name == record_name(id) else None


def parse_suite_name(name: str) -> str | None:
    """Return the suite whose plan an object's name stands for; None for any other name."""
    suite = name.removeprefix(f"{SUITES}/").removesuffix(".json")
    return suite if SUITE.fullmatch(suite) and name == suite_name(suite) else None


def is_image_of(name: str, id: str) -> bool:
    """Return whether an object's name is that of an image of a record."""
    folder = f"{IMAGES}/{id[:2]}/{id}/"
    return name.startswith(folder) and IMAGE.fullmatch(name.removeprefix(folder)) is not None


def name_of(file: Path, store: Path) -> str:
    """Return the name of the object of a file in a store."""
    return file.relative_to(store).as_posix()
