"""`harness schema`: the JSON Schema of suite files, for editors."""

from __future__ import annotations

import argparse

from harness.cli.common import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no options of its own."""


def main(given: argparse.Namespace) -> int:
    """Prints the schema."""
    from harness.planning.suite import json_schema

    print_json(json_schema())
    return 0
