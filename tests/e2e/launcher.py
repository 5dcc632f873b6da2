"""Starts `harness` commands in forks of a process that has imported everything: as killable, but quick.

Reads one JSON list of arguments per line; answers with the child's pid, then, when it has ended, with
its exit status as `os.waitstatus_to_exitcode` gives it (−9 for a kill).
"""

import json
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Imports what commands need, then serves until its input ends."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.special  # noqa: F401
    import torch  # noqa: F401

    from harness.records.provenance import environment

    environment()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            run(request["arguments"], Path(request["output"]))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def run(arguments: list[str], output: Path) -> None:
    """One command, with both of its streams going to the file `output`; never returns."""
    from harness.cli import main as harness

    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run where Ctrl-C is ignored
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123 - the requests are the parent's
    stream = output.open("w", buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    status = 70
    try:
        status = harness(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
