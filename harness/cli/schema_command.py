"""`harness schema`: print the JSON Schema of suite files, for editors."""

from __future__ import annotations

import argparse

from harness.cli.common import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no options."""


def main(given: argparse.Namespace) -> int:
    """Print the schema."""
    from harness.planning.suite import json_schema

    print_json(json_schema())
    return 0
