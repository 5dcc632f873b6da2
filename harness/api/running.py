"""`harness.plan` and `harness.run`: suites from scripts and notebooks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from harness.api.keywords import as_list, refusing_unknown
from harness.api.places import open_place
from harness.discovery.content import trusting_mtime
from harness.errors import SuiteError
from harness.planning.add_published import with_published
from harness.planning.plan import Choice, Plan, make_plan, note_evidence, note_time
from harness.planning.suite import Suite, load_suite_file, parse_suite
from harness.records.paths import data_root_at, default_store
from harness.records.store import Store
from harness.running.outcome import Run

SuiteLike = str | Path | Suite | Mapping[str, Any]
"""A suite by name, by path, as an object, or as the content of a suite file."""


def _choice_names() -> list[str]:
    return [f.name for f in fields(Choice)]


@refusing_unknown(_choice_names)
def plan(
    suite: SuiteLike,
    *,
    store: str | Path | None = None,
    fresh: bool = False,
    set: Mapping[str, Any] | None = None,
    data_root: str | Path | None = None,
    trust_mtime: bool | None = None,
    remote: str | None = None,
    **choices: Any,
) -> Plan:
    """Return what a run would do, without loading a model or a sample.

    The arguments mean what they mean for `run`; with `fresh`, the plan is as if nothing had been run. `.time`
    is how long that will take, from finished cells in the store, and what it rests on.
    """
    with trusting_mtime(trust_mtime), data_root_at(data_root):
        place = open_place(store, remote)
        meant = _find_suite(suite, set)
        done = () if fresh else place.done()
        found = make_plan(meant, _choose(choices), done, place.manifest(meant.name))
        if not fresh:
            note_evidence(found, place)
        note_time(found, place)
        return found


@refusing_unknown(_choice_names)
def run(
    suite: SuiteLike,
    *,
    store: str | Path | None = None,
    device: str = "auto",
    batch_size: int = 64,
    workers: int | None = None,
    fresh: bool = False,
    executor: str | None = None,
    cell_timeout: float | None = None,
    cache: str | Path | None = None,
    listeners: Sequence[object] = (),
    progress: bool | None = None,
    set: Mapping[str, Any] | None = None,
    data_root: str | Path | None = None,
    trust_mtime: bool | None = None,
    add_published: str | Sequence[str] = (),
    published_rows: int | Literal["all"] | None = None,
    remote: str | None = None,
    **choices: Any,
) -> Run:
    """Run the missing cells of a suite; `.tables()` and `.frame()` of the returned run hold the results.

    Args:
        suite: a name, a path, or the content of a suite file.
        store: the folder of records; by default $HARNESS_STORE, else results/store.
        device: auto, cpu, cuda, cuda:1, mps.
        batch_size: samples per batch; halved if memory runs out.
        workers: threads that prepare images; by default as many as suit the machine.
        fresh: run all cells again, even those done.
        executor: `inline`, `processes:N`, `slurm` or `ray` with their options; by default as the suite says.
        cell_timeout: seconds after which a cell is ended and recorded as failed; by default as the suite says.
        cache: folder of cached embeddings; by default $HARNESS_CACHE.
        listeners: objects with hooks, or installed listeners by name, such as "tensorboard?folder=runs".
        progress: whether to report on stderr; by default in notebooks and on terminals only.
        set: changes of the suite by dotted key, as in {"axes.shots": [1, 2]}.
        data_root: folder of the data sets; by default $HARNESS_DATA_ROOT.
        trust_mtime: identify data on disk by names, sizes and modification times instead of its content,
            which saves reading it once; by default as $HARNESS_TRUST_MTIME says.
        add_published: published results in all tables and plots: installed sets, suites of the store, .csv files.
        published_rows: how many of their models tables show above and below each row (2), or "all".
        remote: a bucket that mirrors the store, such as "s3://bucket/name": what it has and the store lacks is fetched
            first, and every record is put there; by default $HARNESS_REMOTE.
        choices: what narrows and adds: models, datasets, methods, metrics, add_models, add_datasets,
            add_metrics, experiments, seeds, precision, images, limit, skip_unreadable.

    Raises HarnessError before anything runs if the suite can't be planned. An interruption keeps the finished
    cells; the same call continues.

    >>> harness.run("robustness", models=["tiny-clip"], limit=100).tables()  # doctest: +SKIP
    """
    from harness.discovery.content_reading import showing_progress
    from harness.mirroring.addresses import find_remote
    from harness.mirroring.mirrored_run import mirroring
    from harness.running.live_display import make_display
    from harness.running.progress import is_watched
    from harness.running.runner import run as run_suite

    if batch_size < 1:
        raise SuiteError(f"batch_size: expected at least 1, found {batch_size}")
    if cell_timeout is not None and not 0 < cell_timeout < float("inf"):
        raise SuiteError(f"cell_timeout: expected seconds above 0, found {cell_timeout}")
    shown = is_watched(sys.stderr) if progress is None else progress
    place, bucket = Store(store or default_store()), find_remote(remote, "remote")
    with (
        trusting_mtime(trust_mtime),
        data_root_at(data_root),
        showing_progress(shown),
        _explaining_stop(),
        mirroring(place, bucket) as mirrored,
    ):
        return run_suite(
            with_published(_find_suite(suite, set), as_list(add_published), published_rows),
            place,
            choice=_choose(choices),
            device=device,
            batch_size=batch_size,
            workers=None if workers is None else max(0, workers),
            fresh=fresh,
            executor=executor,
            cell_timeout=cell_timeout,
            cache=None if cache is None else Path(cache),
            listeners=[*mirrored.listeners, *listeners, *([make_display(sys.stderr)] if shown else [])],
            remote=bucket,
        )


@contextmanager
def _explaining_stop() -> Iterator[None]:
    """Give an interruption a text, and a traceback without the many frames of what was interrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.args = error.args or ("finished cells are kept, and the same call continues",)
        raise error.with_traceback(None) from None


def _find_suite(given: SuiteLike, changes: Mapping[str, Any] | None) -> Suite:
    if isinstance(given, str | Path):
        return load_suite_file(given, changes)
    if isinstance(given, Mapping):
        return parse_suite(given, overrides=changes)
    if not changes:
        return given
    changed = parse_suite(given.model_dump(exclude_unset=True), f"suite {given.name}", changes)
    changed._folder = given._folder
    return changed


def _choose(given: Mapping[str, Any]) -> Choice:
    """Return the choice; a single name or seed needs no brackets."""
    lists = [f.name for f in fields(Choice) if f.default == ()]
    choices: dict[str, Any] = {
        name: as_list(value) if name in lists else value for name, value in given.items()
    }
    if isinstance(choices.get("seeds"), int):
        choices["seeds"] = [choices["seeds"]]
    return Choice(**choices)
