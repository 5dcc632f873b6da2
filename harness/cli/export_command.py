"""`harness export`: write all records of a store as CSV or Parquet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli.common import add_store_argument, open_store, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add_store_argument(parser)
    add("--format", choices=["csv", "parquet"], default=None, help="default: by --out, else csv")
    add("--suite", metavar="NAME", help="only the records of this suite")
    add("--wide", action="store_true", help="one row per record instead of one per record and number")
    add("--out", type=Path, metavar="FILE", help="write there; needed for parquet")


def main(given: argparse.Namespace) -> int:
    """Write the records."""
    from harness.exchange.exporting import export_records, write_csv

    data, format = export_records(open_store(given), given.suite, given.wide, given.format, given.out)
    if given.out is None and given.json:
        sys.stdout.write(data.to_json(orient="records", force_ascii=False) + "\n")
    elif given.out is None:
        sys.stdout.write(write_csv(data, None) or "")
    elif given.json:
        print_json({"file": str(given.out), "format": format, "rows": len(data)})
    else:
        print(f"{given.out}: {len(data)} rows")
    return 0
