"""What `harness try` says: the number, what it rests on, hits and misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.cli.try_failures import name_flags
from harness.contract.declared import ask
from harness.contract.remarks import relabel_remarks
from harness.errors import HarnessError, StoreError
from harness.leaderboard.entries import effective_column, format_interval, format_value
from harness.leaderboard.formats.text import clean_text
from harness.planning.suite import TableSpec

if TYPE_CHECKING:
    import pandas as pd

    from harness.contract.cells import Cell
    from harness.records.record import Record
    from harness.running.outcome import Run

CLASSES_SHOWN = 4
LONGEST_LIST = 90
"""Characters of a list of classes."""


def describe_outcome(
    outcome: Run, record: Record, cell: Cell, notes: Sequence[str], shown: int
) -> dict[str, Any]:
    """Return all that is to be said of an ok record."""
    names = _find_class_names(outcome, cell)
    facts: dict[str, Any] = {
        "model": cell.model.label if cell.model else "",
        "model_plugin": cell.model.plugin if cell.model else "",
        "dataset": cell.dataset.label,
        "dataset_plugin": cell.dataset.plugin,
        "id": record.id,
        "store": str(outcome.store.path),
        "samples": record.count,
        "split": record.notes.get("split"),
        "metrics": _describe_metrics(outcome, record),
        "classes": {**record.notes.get("classes", {}), "names": names},
        "templates": record.notes.get("templates"),
        "preparation": record.notes.get("preparation"),
        "parameters": record.cost.get("parameters"),
        "remarks": [*notes, *map(name_flags, _relabel(record, cell))],
    }
    frame = _read_samples(outcome, record)
    if hint := _find_hint(facts, record, frame):
        facts["remarks"].append(hint)
    return {**facts, **_find_hits_and_misses(frame, names, shown)}


def _relabel(record: Record, cell: Cell) -> list[str]:
    """Return the record's remarks with this call's labels: another suite may have made the record."""
    ours = {part.kind: part.label for part in cell.parts}
    theirs = {"models": record.coordinates.get("model"), "datasets": record.coordinates.get("dataset")}
    moved = {str(old): ours[kind] for kind, old in theirs.items() if old and ours.get(kind, old) != old}
    return relabel_remarks(record.remarks, moved)


def _read_samples(outcome: Run, record: Record) -> pd.DataFrame | None:
    """Return the record's samples if they say what was predicted, else None."""
    try:
        frame = outcome.store.samples(record.id)
    except StoreError:
        return None
    known = frame is not None and {"id", "target", "prediction", "confidence"} <= {*frame.columns}
    return frame if known else None


def _describe_metrics(outcome: Run, record: Record) -> list[dict[str, Any]]:
    """Return each metric's number and interval, as numbers and as text; of one with several, all."""
    if not record.metrics:
        return []
    name = outcome.plan.suite.name
    outcome.plan.suite.tables = [TableSpec(name=name, values=list(record.metrics))]
    found = []
    for table in outcome.tables():
        for row in table.rows:
            for entry, column in zip(row.entries, table.columns, strict=True):
                if entry.value is None:
                    continue
                unit = "%" if effective_column(entry, column).percent else ""
                parts = (format_value(entry, column), format_interval(entry, column), unit)
                text = " ".join(filter(None, parts))
                ends = {"low": entry.low, "high": entry.high, "method": entry.method}
                found.append(
                    {
                        "metric": column.metric,
                        "value": entry.value,
                        **ends,
                        "level": table.level,
                        "text": text,
                    }
                )
    return found


def _find_class_names(outcome: Run, cell: Cell) -> list[str] | None:
    """Return the classes' names: those of the evidence, else the data set's."""
    evidence = outcome.store.find_evidence(cell.evidence_id)
    try:
        known = ask(cell.protocol.object, "provides") or ()
        found = (
            ask(evidence[0].read(known)[""], "class_names") if evidence and not evidence[0].missing else None
        )
        found = found or ask(cell.dataset.object, "class_names")
    except (HarnessError, KeyError):
        return None
    return [str(name) for name in found] if found and not isinstance(found, str) else None


def _find_hint(facts: Mapping[str, Any], record: Record, frame: pd.DataFrame | None) -> str | None:
    """Return a hint if one class alone was tested, or at chance, if the order of the classes was assumed."""
    classes, right = facts["classes"], record.metrics.get("top1")
    if classes.get("count") == 1:
        return "the data set has one class: accuracy on it tells nothing of the model"
    if frame is not None and len(frame) and frame["target"].nunique() == 1:
        label, names = int(frame["target"].iloc[0]), facts["classes"]["names"]
        name = names[label] if names and 0 <= label < len(names) else label
        return f"all samples are of the class '{name}': accuracy on them tells nothing of the other classes"
    if classes.get("matched") != "order" or right is None or right > 1.5 / max(1, classes.get("count") or 1):
        return None
    return "no better than chance: the model's outputs may be in another order (name them with --class-names FILE)"


def _find_hits_and_misses(
    frame: pd.DataFrame | None, names: Sequence[str] | None, shown: int
) -> dict[str, Any]:
    """Return the most confident hits and misses, and the number of each."""
    if frame is None:
        return {}

    def name(label: int) -> str:
        return names[label] if names and 0 <= label < len(names) else f"class {label}"

    found: dict[str, Any] = {}
    right = frame["target"] == frame["prediction"]
    for word, chosen in (("misses", frame[~right]), ("hits", frame[right])):
        ordered = chosen.sort_values("confidence", ascending=False, kind="stable").head(shown)
        found[word] = {
            "count": len(chosen),
            "first": [
                {"id": str(i), "target": name(int(t)), "prediction": name(int(p)), "probability": float(c)}
                for i, t, p, c in ordered[["id", "target", "prediction", "confidence"]].itertuples(
                    index=False
                )
            ],
        }
    return found


def write_description(facts: Mapping[str, Any]) -> str:
    """Return the description as text; names are escaped."""
    split = f" of '{clean_text(facts['split'])}'" if facts.get("split") else ""
    samples = f"{facts['samples']} samples{split}"
    lines = [f"{clean_text(facts['model'])} on {clean_text(facts['dataset'])} ({samples})", ""]
    rows = [(m["metric"], _write_metric(m)) for m in facts["metrics"]]
    rows.append(("classes", _write_classes(facts)))
    rows.append(("images", _write_preparation(facts["preparation"])))
    rows += [("note", clean_text(text, None)) for text in facts["remarks"]]
    width = max(len(clean_text(label)) for label, _ in rows)
    lines += [f"{clean_text(label):<{width}}  {text}" for label, text in rows]
    for word in ("misses", "hits"):
        if (part := facts.get(word)) and part["first"]:
            lines += ["", f"most confident {word} (of {part['count']})", *_write_samples(part["first"])]
    return "\n".join(lines)


def _write_metric(metric: Mapping[str, Any]) -> str:
    if metric["low"] is None:
        return str(metric["text"])
    return f"{metric['text']}  ({100 * metric['level']:g}% interval, {metric['method']})"


def _write_classes(facts: Mapping[str, Any]) -> str:
    classes = facts["classes"]
    names, count, how = classes.get("names"), classes.get("count"), classes.get("matched")
    some = _list_names(names) if names else "they have no names"
    if how == "prompts":
        templates = facts.get("templates")
        return f"{count}, zero-shot with {templates} {'prompt' if templates == 1 else 'prompts'} each: {some}"
    if how == "order":
        first = ", ".join(f"output {i} is '{clean_text(name)}'" for i, name in enumerate((names or ())[:2]))
        more = ", …" if names and len(names) > 2 else ""
        return f"{count}, matched by ORDER, which is an assumption: {first + more or some}"
    if how not in ("name", "label space"):
        return f"{count or len(names or ())}: {some}"
    text = f"{count} of {count} matched by {how}: {some}"
    if unread := classes.get("unread"):
        text += f"; {unread} of the model's {classes['outputs']} outputs are no class here"
        text += f" ({_list_names(classes['unread_names'])})" if classes.get("unread_names") else ""
    return text


def _list_names(names: Sequence[str]) -> str:
    """Return the first of some names."""
    shown = [clean_text(str(name)) for name in names[:CLASSES_SHOWN]]
    text = ", ".join(shown) + (", …" if len(names) > CLASSES_SHOWN else "")
    return text if len(text) <= LONGEST_LIST else f"{text[: LONGEST_LIST - 1]}…"


def _write_preparation(preparation: Mapping[str, Any] | None) -> str:
    """Return how images were prepared, in the order of the steps."""
    if preparation is None:
        return "prepared by the model's own code, which does not say how"
    resize, crop = preparation["resize"], preparation["crop"]
    size = f"shorter side to {resize}" if isinstance(resize, int) else f"squashed to {_write_size(resize)}"
    mean, std = ("[" + ", ".join(f"{v:.3g}" for v in preparation[k]) + "]" for k in ("mean", "std"))
    return (
        f"{size} ({preparation['interpolation']}), centre {_write_size(crop)} cut out, mean {mean}, std {std}"
    )


def _write_size(size: Any) -> str:
    height, width = (size, size) if isinstance(size, int) else size
    return f"{height}×{width}"


def _write_samples(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    from tabulate import tabulate

    rows = [
        [clean_text(s["id"]), f"is {clean_text(s['target'])}"]
        + ([f"taken for {clean_text(s['prediction'])}"] if s["target"] != s["prediction"] else [])
        + [f"p = {s['probability']:.3f}"]
        for s in samples
    ]
    return [f"  {line}" for line in tabulate(rows, tablefmt="plain", disable_numparse=True).splitlines()]
