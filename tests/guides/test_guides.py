"""Every guide works when it is followed to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = sorted(p for room in ("harness", "plugins", "suites") for p in (ROOT / room).glob("**/guides/*.md"))


@pytest.mark.parametrize("guide", GUIDES, ids=[p.stem for p in GUIDES])
def test_following_it_to_the_letter(guide, reader):
    reader.follow(guide)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```console\n$ harness lisst\n```\n", "ended with 2"),
        ("```console\n$ harness --version\nversion nine\n```\n", "not printed: version nine"),
        ("```python\n1 / 0\n```\n", "a block that nothing tries"),
        ('```python title="../a.py"\n1\n```\n', "writes outside the folder"),
    ],
)
def test_what_does_not_work_is_found(text, fault, reader, tmp_path):
    guide = tmp_path / "guide.md"
    guide.write_text(text)
    with pytest.raises(AssertionError, match=fault):
        reader.follow(guide)
