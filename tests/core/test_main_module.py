"""Plain scripts: worker processes start only where they don't run the caller's script again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import harness

SUITE = {
    "name": "s", "protocol": "classification", "models": [{"plugin": "tiny-resnet", "trained_on": "digits", "steps": 0}],
    "datasets": ["digits"], "metrics": ["top1"], "limit": 16, "executor": "processes:1",
}
"""
CALL = "print([r.status for r in harness.run(SUITE, store=sys.argv[1]).records])"
GUARD = 'if __name__ == "__main__":'


def python(*arguments: str, text: str | None = None, folder: Path) -> tuple[str, str]:
    environment = {**os.environ, "HARNESS_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, *arguments],
        input=text,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        check=False,
    )
    return done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (f"{SCRIPT}\n{CALL}\n", "no main guard around the call"),
        (f"{SCRIPT}\n{CALL}\n{GUARD}\n    print()\n", "no main guard around the call"),
        (f"{SCRIPT}\ndef main():\n    {CALL}\n\nmain()\n", "no main guard around the call"),
        (f"{SCRIPT}\ndef main():\n    {CALL}\n\n{GUARD}\n    main()\n", ""),
    ],
)
def test_a_script_runs_with_and_without_a_guard(tmp_path: Path, script: str, said: str) -> None:
    (tmp_path / "script.py").write_text(script)
    out, err = python("script.py", "store", folder=tmp_path)
    assert out == "['ok']"
    assert len(err.splitlines()) == bool(said)
    assert said in err


def test_the_standard_input_and_a_command_run_too(tmp_path: Path) -> None:
    out, err = python("-", "one", text=f"{SCRIPT}\n{CALL}\n", folder=tmp_path)
    assert out == "['ok']"
    assert "no file that worker processes could import" in err
    assert python("-c", f"{SCRIPT}\n{CALL}\n", "two", folder=tmp_path) == ("['ok']", "")


def test_processes_that_the_call_asks_for_are_an_error_without_a_guard(tmp_path: Path) -> None:
    asked = CALL.replace("SUITE,", 'SUITE, executor="processes:2",')
    (tmp_path / "script.py").write_text(f"{SCRIPT}\n{asked}\n")
    out, err = python("script.py", "store", folder=tmp_path)
    assert out == ""
    assert err.count("Traceback") == 1
    assert err.splitlines()[-1].endswith(
        "executor processes: the script has no main guard around the call: put the call under "
        '`if __name__ == "__main__":`, or give executor="inline"'
    )
