"""Checks that worker processes can be started from here: each of them imports the main module again."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import FrameType
from typing import Any

CURE = 'put the call under `if __name__ == "__main__":`, or give executor="inline"'


def find_obstacle() -> str | None:
    """Return why worker processes would fail, or run the caller's script again; None if they work.

    Spawned processes run the main module's file under another name. Code outside of a guard runs once more
    in each of them, and a script from the standard input can't be found at all.
    """
    import multiprocessing

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        return "a worker process imports the script, which runs cells then"
    main = sys.modules.get("__main__")
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if main is None or file is None:
        return None  # an interpreter, a notebook: there is nothing to import
    if spec is not None and (spec.name == "__main__" or spec.name.endswith(".__main__")):
        return None  # `python -m package`, which processes don't import
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, ValueError, SyntaxError):
        return "the script comes from no file that worker processes could import"
    line = _line_of(vars(main))
    if any(_is_guard(node, line) for node in tree.body):
        return None
    return "the script has no main guard around the call"


def _line_of(namespace: dict[str, Any]) -> int | None:
    """Return the line that the main module executes; None if it has ended, or runs in another thread."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals is namespace and frame.f_code.co_name == "<module>":
            return frame.f_lineno
        frame = frame.f_back
    return None


def _is_guard(node: ast.stmt, line: int | None) -> bool:
    """Return whether a statement is a guard by `__name__`, around the line if that is known."""
    if not isinstance(node, ast.If):
        return False
    by_name = any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))
    return by_name and (line is None or node.lineno <= line <= (node.end_lineno or node.lineno))
