"""Docstrings in two parts: the description, and that of the arguments."""

from __future__ import annotations

import inspect
import re

_ARGUMENT = re.compile(r"^(\*{0,2}\w+(?:, *\*{0,2}\w+)*)(?: *\([^)]*\))?: (.*)$")


def split_arguments(text: str | None) -> tuple[str, dict[str, str]]:
    """Return the text without its section `Args:`, and that section's text by argument.

    >>> split_arguments("Does it.\\n\\nArgs:\\n    a, b: both\\n        of them.\\n    c: the last.")
    ('Does it.', {'a': 'both of them.', 'b': 'both of them.', 'c': 'the last.'})
    """
    rest: list[str] = []
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in inspect.cleandoc(text or "").splitlines():
        if line == "Args:":
            inside = True
            continue
        if inside and line and not line.startswith(" "):
            inside = False
        if not inside:
            rest.append(line)
            continue
        begins = _ARGUMENT.match(line[4:]) if line.startswith("    ") else None
        if begins and not line.startswith("     "):
            names = [name.strip().lstrip("*") for name in begins[1].split(",")]
            found |= dict.fromkeys(names, begins[2].strip())
        elif line.strip() and names:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return "\n".join(rest).strip(), found
