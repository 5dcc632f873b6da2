"""Where the numbers of a page come from: when, with which versions, on what and by which commands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any, NamedTuple

from harness.records.record import Record

MOST = 4
"""Commands and devices that are shown at once; further ones are counted."""


class _Origin(NamedTuple):
    """What one record says of its making; equal facts of many records are the same few texts."""

    started: str
    ended: str
    versions: tuple[tuple[str, str], ...]
    device: str
    command: str
    commit: str


class Origins:
    """Collects the origins of records by their ids."""

    def __init__(self) -> None:
        self._found: dict[str, _Origin] = {}

    def add(self, record: Record) -> None:
        """Take in a record, in place of an earlier one of the same id."""
        self._found[record.id] = _read_origin(record.provenance)

    def render(self, ids: Iterable[str]) -> str:
        """Return a list of the facts about these records, or nothing if none is known."""
        found = [self._found[id] for id in dict.fromkeys(ids) if id in self._found]
        rows = [
            ("Made", _time_span(found)),
            ("Versions", escape(" · ".join(_join_versions(found)))),
            ("Device", "; ".join(escape(text) for text in _most(o.device for o in found))),
            (
                "Command",
                "<br>".join(f"<code>{escape(text)}</code>" for text in _most(o.command for o in found)),
            ),
        ]
        shown = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in rows if text)
        return f'<dl class="origins">{shown}</dl>' if shown else ""


def _read_origin(provenance: dict[str, Any]) -> _Origin:
    libraries, device, host, git = (
        found if isinstance(found := provenance.get(name), dict) else {}
        for name in ("libraries", "device", "host", "git")
    )
    own = {"vision-harness": provenance.get("harness"), "Python": provenance.get("python")}
    versions = {str(name): str(version) for name, version in {**own, **libraries}.items() if version}
    kind = str(device.get("type") or "")
    name = device.get("name") or (host.get("cpu") if kind == "cpu" else None)
    threads = device.get("threads")
    shown = [kind.upper() if kind in ("cpu", "mps") else kind, name]
    shown += [f"({threads} thread{'' if threads == 1 else 's'})"] if threads else []
    sources = (git.get("harness"), git.get("project"))
    commit = next((s for s in sources if isinstance(s, dict) and s.get("commit")), {})
    text = str(commit.get("commit", ""))[:10] + (" with changes" if commit.get("dirty") else "")
    return _Origin(
        str(provenance.get("started") or ""),
        str(provenance.get("ended") or provenance.get("started") or ""),
        tuple(versions.items()),
        " ".join(str(part) for part in shown if part),
        str(provenance.get("command") or ""),
        text if commit else "",
    )


def _join_versions(found: list[_Origin]) -> list[str]:
    """Return each package with all its versions, and the commits."""
    versions: dict[str, dict[str, None]] = {}
    for origin in dict.fromkeys((o.versions, o.commit) for o in found):
        for name, version in origin[0]:
            versions.setdefault(name, {})[version] = None
        if origin[1]:
            versions.setdefault("commit", {})[origin[1]] = None
    return [f"{name} {', '.join(several)}" for name, several in versions.items()]


def _time_span(found: list[_Origin]) -> str:
    times = sorted(t for o in found for t in (_parse_time(o.started), _parse_time(o.ended)) if t)
    if not times:
        return ""
    first, last = times[0], times[-1]
    start = _format_time(first)
    if (first.date(), first.hour, first.minute) == (last.date(), last.hour, last.minute):
        return f"{start} UTC"
    return f"{start} to {last.strftime('%H:%M') if first.date() == last.date() else _format_time(last)} UTC"


def _format_time(time: datetime) -> str:
    return f"{time.day} {time.strftime('%B %Y, %H:%M')}"


def _parse_time(text: str) -> datetime | None:
    """Return a record's time in UTC, or None if it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _most(texts: Iterable[str]) -> list[str]:
    """Return the distinct texts in their order; past `MOST`, how many there are besides."""
    distinct = list(dict.fromkeys(text for text in texts if text))
    more = len(distinct) - MOST
    return [*distinct[:MOST], *([f"and {more} more"] if more > 0 else [])]
