"""Run a guide's commands in forks of one process that has imported everything: literally, but quickly.

Read one JSON request per line, `{"words", "folder", "site", "output"}`; answer with the exit status. `site` is
the site-packages of the reader's environment, into which `pip install` installs.
"""

import importlib
import json
import os
import runpy
import site
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Import what commands need, then serve until the input ends."""
    for library in (
        "pandas",
        "scipy.stats",
        "sklearn.metrics",
        "statsmodels.api",
        "torch",
        "open_clip",
        "timm",
        "peft",
    ):
        importlib.import_module(library)

    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            serve(request["words"], Path(request["folder"]), request["site"], Path(request["output"]))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def serve(words: list[str], folder: Path, packages: str, output: Path) -> None:
    """Run one command in its folder, with both streams redirected to the file `output`; never return."""
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123 - the requests are the parent's
    stream = output.open("w", buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    os.chdir(folder)
    site.addsitedir(packages)  # what was installed since this process started
    status = 70
    try:
        status = command(words, packages)
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def command(words: list[str], packages: str) -> int:
    """Run a command that guides may use and return its exit status; raise for any other."""
    name, *rest = words
    if name == "harness":
        from harness.cli import main as harness

        return harness(rest)
    if name == "pytest":
        import pytest

        return int(pytest.main(["-p", "no:cacheprovider", *rest]))
    if name == "python":
        sys.argv = rest
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_path(rest[0], run_name="__main__")
        return 0
    if words[:2] == ["pip", "install"]:
        # without a network: what the package needs is there, the reader's pip would find it so too
        python = Path(packages).parents[2] / "bin" / "python"
        options = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-q"]
        return subprocess.call(
            [sys.executable, "-m", "pip", "--python", python, "install", *options, *words[2:]]
        )
    if name == "cd":
        raise SystemExit("a guide changes folders through `cd` only as a line of its own")
    raise SystemExit(f"a guide may use harness, pip install, pytest and python, not {name}")


if __name__ == "__main__":
    main()
