"""Arrays in the store's notes: submission of new ones, and which tasks of earlier ones have the cells of a run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from harness.contract.cells import Cell
from harness.errors import HarnessError
from harness.running.worker import RunSettings
from harness_slurm import commands, notes
from harness_slurm.notes import Note
from harness_slurm.submission import Allotment, list_arguments, write_script
from harness_slurm.tasks import Array, Task
from harness_slurm.watching import COLUMNS, Queue, parse_queue

PAUSE = 1.0
"""Seconds after which Slurm is asked again for an array that it doesn't know: `sbatch` may just be at it."""

FORGOTTEN = 600.0
"""Seconds after which an array that was never submitted is removed."""


def ask_queue(arrays: Collection[Array]) -> Queue | None:
    """Return what Slurm knows of arrays, and note their ids; None if it gives no answer."""
    if not arrays:
        return Queue()
    text = commands.list_queue([array.note.name for array in arrays], COLUMNS)
    if text is None:
        return None
    queue = parse_queue(text)
    for array in arrays:
        array.note.id = array.note.id or queue.ids.get(array.note.name)
    return queue


def find_tasks(
    store: Path, wanted: Mapping[str, Cell], fresh: bool, known: Collection[str] = ()
) -> Iterator[Task]:
    """Yield the tasks of other arrays that have wanted cells, as Slurm sees them; of several, the last submitted.

    A `fresh` run takes part in fresh ones only; arrays with `known` names are left out. Arrays that have ended are
    closed, after their tasks were yielded.
    """
    arrays = [Array(folder, note) for folder, note in notes.open_notes(store) if note.name not in known]
    queue = ask_queue(arrays)
    if queue is not None and any(array.note.id is None for array in arrays):
        time.sleep(PAUSE)
        queue = ask_queue(arrays)
    owned: set[str] = set()
    for array in reversed(arrays):
        tasks = []
        for number, ids in enumerate(array.note.tasks):
            mine = {id: wanted[id] for id in ids if id in wanted and id not in owned}
            task = Task(array, number, {} if fresh and not array.note.fresh else mine)
            if queue is not None:
                task.look(queue.tasks.get((array.note.name, number)))
            tasks.append(task)
        if array.note.id is None and queue is not None and not any(task.has_begun() for task in tasks):
            if array.folder.age() > FORGOTTEN:
                shutil.rmtree(array.folder.path, ignore_errors=True)
            continue  # it was never submitted; or another command is at it, where files can't be locked
        for task in tasks:
            if task.number not in array.note.settled and task.cells:
                owned |= task.cells.keys()
                yield task
        for task in tasks:
            if task.looks:
                array.settle(task.number)


def submit_array(
    tasks: Sequence[Sequence[Cell]],
    settings: RunSettings,
    since: int,
    deaths: Mapping[str, int],
    allotment: Allotment,
    at_once: int,
) -> Array:
    """Submit an array with these cells per task; its note lies in the store before.

    Raises HarnessError with what `sbatch` says if it refuses.
    """
    note = Note(
        notes.make_name(tasks[0][0].suite),
        [[cell.id for cell in cells] for cells in tasks],
        since,
        settings.fresh,
        allotment.request.minutes,
        {cell.id: deaths[cell.id] for cells in tasks for cell in cells if cell.id in deaths},
    )
    array = Array(notes.prepare(settings.store, note, tasks, asdict(settings)), note)
    folder = array.folder.path
    arguments = list_arguments(allotment.request, note.name, len(tasks), at_once, folder, Path.cwd())
    try:
        note.id = commands.submit(arguments, write_script(folder))
    except HarnessError as error:
        # an answer may be lost although the jobs were taken; if that can't be known now, the note stays
        if ask_queue([array]) is None:
            raise
        if note.id is None:
            shutil.rmtree(folder, ignore_errors=True)
            hint = (
                f": {len(tasks)} jobs may be too many here, give more per_job"
                if "array" in str(error)
                else ""
            )
            raise HarnessError(f"{error}{hint}") from None
    array.folder.save(note)
    return array
