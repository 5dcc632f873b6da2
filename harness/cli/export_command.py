"""`harness export`: write all records of a store as CSV or Parquet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli.common import add_store_argument, open_store, print_json
from harness.errors import HarnessError


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
    from harness.exchange import exporting
    from harness.planning.suite import find_suite_name

    ending = given.out.suffix.lower().lstrip(".") if given.out else ""
    format = given.format or ("parquet" if ending == "parquet" else "csv")
    if format == "parquet" and given.out is None:
        raise HarnessError("export: Parquet is binary: name a file with --out FILE.parquet")
    frame = exporting.wide_frame if given.wide else exporting.long_frame
    data = frame(open_store(given), given.suite and find_suite_name(given.suite))
    try:
        if format == "parquet":
            exporting.write_parquet(data, given.out)
        elif given.out is None and given.json:
            sys.stdout.write(data.to_json(orient="records", force_ascii=False) + "\n")
        else:
            sys.stdout.write(exporting.write_csv(data, given.out) or "")
    except OSError as error:
        raise HarnessError(f"--out {given.out}: can't be written: {error.strerror}") from None
    if given.out is not None:
        if given.json:
            print_json({"file": str(given.out), "format": format, "rows": len(data)})
        else:
            print(f"{given.out}: {len(data)} rows")
    return 0
