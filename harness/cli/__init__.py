"""The command line. A command's module is imported only when the command is called."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "try": "one model on one data set: a number, how classes and images were matched, hits and misses",
    "init": "write a suite file for your own models and data",
    "run": "run what the store lacks of some suites, then show their leaderboards",
    "plan": "show what a run would do: to run, done, skipped and why",
    "table": "show leaderboards from the records in a store",
    "report": "write one HTML page with leaderboards, plots and records",
    "serve": "serve the report's page, live while a run fills the store",
    "compare": "compare two stores, or two parts of one; gates for CI",
    "merge": "merge the records of several stores into one",
    "export": "write all records as CSV or Parquet in long form",
    "import": "import results of other programs (clip_benchmark)",
    "list": "list installed plugins and suites",
    "info": "describe one plugin or suite: options, defaults, where it comes from",
    "check": "check that a plugin or suite does what the harness expects of its kind",
    "new": "write a small, complete package with a plugin, to begin with",
    "schema": "print the JSON Schema of suite files",
    "doctor": "check plugins, versions, devices, cache, store and leases",
    "selftest": "check a GPU machine: small parts of every suite on the device and the CPU, memory, speed",
    "cache": "show or clear the cache",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the top-level parser, whose commands have no options yet."""
    top = argparse.ArgumentParser(
        prog="harness",
        description="A benchmark harness for vision and vision-language models.",
        epilog="harness COMMAND --help describes a command.",
    )
    top.add_argument("--version", action="store_true", help="show the version and stop")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, help in COMMANDS.items():
        commands.add_parser(name, help=help, add_help=False)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 success, 1 some cells failed, 2 wrong use."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # for terminals and files that can't encode Δ or odd file names
        sys.stdout.reconfigure(errors="backslashreplace")
    top = build_parser()
    if not given:
        top.print_help()
        return 2
    if given[0] == "--version":
        from importlib.metadata import version

        print(version("vision-harness"))
        return 0
    if given[0] not in COMMANDS:
        if not given[0].startswith("-"):
            from harness.errors import did_you_mean

            return complain(f"no command '{given[0]}'{did_you_mean(given[0], COMMANDS)}")
        top.parse_args(given)
        return complain(f"a command must come first: {', '.join(COMMANDS)}")
    from harness.errors import Detached, HarnessError

    module = import_module(f"harness.cli.{given[0]}_command")
    command = argparse.ArgumentParser(
        prog=f"harness {given[0]}", description=COMMANDS[given[0]].capitalize() + "."
    )
    command.add_argument("--json", action="store_true", help="answer in JSON")
    module.add_arguments(command)
    try:
        return int(module.main(command.parse_args(given[1:])))
    except Detached as end:
        return complain(str(end), "--json" in given, status=0)
    except HarnessError as error:
        return complain(str(error), "--json" in given)
    except KeyboardInterrupt:
        return complain("interrupted; finished cells are kept, and the same command continues", status=130)
    except BrokenPipeError:  # the reader has closed the pipe, as in `harness list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # an unreadable or unwritable store or file, a full disk
        what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return complain(what, "--json" in given)


def complain(text: str, as_json: bool = False, status: int = 2) -> int:
    """Print why a command ends to stderr, line by line, and to stdout as JSON if asked; return the exit status."""
    if as_json:
        import json

        print(json.dumps({"error" if status else "detached": text}))
    for line in text.splitlines():
        print(f"harness: {line}", file=sys.stderr)
    return status
