"""What the tests of importers share: a store, the excerpts of public files, and the command line."""

from pathlib import Path

import pytest

from harness.cli import main
from harness.records.store import Store


@pytest.fixture
def data() -> Path:
    """The folder of excerpts of public files."""
    return Path(__file__).with_name("data")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def run_import(store, capsys):
    """Run `harness import` on files; return exit status, output and errors."""

    def run(*words):
        status = main(["import", *map(str, words), "--store", str(store.path)])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def show_table(store, capsys):
    """Return a suite's tables in a format."""

    def show(suite, format="csv"):
        capsys.readouterr()
        assert main(["table", suite, "--store", str(store.path), "--format", format]) == 0
        return capsys.readouterr().out

    return show


@pytest.fixture
def cells(store):
    """The store's records by model, data set and the values of their axes."""

    def read():
        known = ("experiment", "protocol", "method", "seed")
        return {tuple(v for k, v in r.coordinates.items() if k not in known): r for r in store.records()}

    return read
