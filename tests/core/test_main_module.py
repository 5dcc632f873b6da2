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


CASES = [
    ("{call}\n", "no main guard around the call"),
    ("{call}\n{guard}\n    print()\n", "no main guard around the call"),
    ("{guard}\n    print(0)\nelse:\n    pass\n{call}\n", "no main guard around the call"),
    ("def main():\n    {call}\n\nmain()\n", "no main guard around the call"),
    ("def main():\n    {call}\n\n{guard}\n    main()\n", "None"),
    (
        "import threading\n{guard}\n    t = threading.Thread(target=lambda: {call})\n    t.start(); t.join()\n",
        "None",
    ),
]
ASK = (
    "print(__import__('harness.running.executors.main_module').running.executors.main_module.find_obstacle())"
)


@pytest.mark.parametrize(("script", "said"), CASES)
def test_a_guard_counts_where_it_stands_around_the_call(tmp_path: Path, script: str, said: str) -> None:
    (tmp_path / "script.py").write_text(script.format(call=ASK, guard=GUARD))
    for how in (["script.py"], ["-m", "script"]):
        out, err = python(*how, folder=tmp_path)
        assert said in out, (out, err)


def test_what_comes_from_no_file(tmp_path: Path) -> None:
    assert "no file that worker processes could import" in python("-", text=ASK, folder=tmp_path)[0]
    assert python("-c", ASK, folder=tmp_path) == ("None", "")
    (tmp_path / "__main__.py").write_text(ASK)
    assert python(".", folder=tmp_path) == ("None", "")


def test_a_script_runs_with_and_without_a_guard(tmp_path: Path) -> None:
    asked = CALL.replace("SUITE,", 'SUITE, executor="processes:2",').replace("store=", "fresh=True, store=")
    (tmp_path / "plain.py").write_text(f"{SCRIPT}\n{CALL}\n{asked}\n")
    out, err = python("plain.py", "store", folder=tmp_path)
    assert out == "['ok']"
    assert "asks for processes:1, and its cells run one after another here" in err.splitlines()[0]
    assert err.count("Traceback") == 1
    assert err.splitlines()[-1].endswith(
        "executor processes: the script has no main guard around the call: put the call under "
        '`if __name__ == "__main__":`, or give executor="inline"'
    )
    (tmp_path / "guarded.py").write_text(f"{SCRIPT}\n{GUARD}\n    {asked}\n")
    assert python("guarded.py", "store", folder=tmp_path) == ("['ok']", "")
