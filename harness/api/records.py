"""Records as data: `harness.load`, `harness.export`, `harness.merge` and `harness.import_results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.keywords import refusing_unknown
from harness.api.places import open_place
from harness.errors import SuiteError, no_records
from harness.planning.suite import find_suite_name
from harness.records.paths import default_store
from harness.records.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from harness.exchange.importing import Imported
    from harness.exchange.merging import MergeResult


@refusing_unknown()
def load(
    suite: str | None = None, *, store: str | Path | None = None, remote: str | None = None
) -> pd.DataFrame:
    """Return the records of a suite (or of the whole store) as a DataFrame, one row per cell.

    The column `remarks` holds what was assumed or left out. `remote` is a bucket that mirrors the store, by default
    $HARNESS_REMOTE: what it has and the store lacks is fetched first. Raises SuiteError for a suite without records
    in the store.
    """
    from harness.leaderboard.frame import shorten_columns, suite_frame
    from harness.records.index import read_frame

    place = open_place(store, remote)
    if not suite:
        return shorten_columns(read_frame(place))
    suite = find_suite_name(suite)
    data = suite_frame(place, suite)
    if not len(data) and place.manifest(suite) is None:
        known = {*place.suites(), *map(str, read_frame(place)["suite"].dropna())}
        raise SuiteError(no_records(place.path, suite, sorted(known)))
    return shorten_columns(data)


@refusing_unknown()
def export(
    suite: str | None = None,
    *,
    store: str | Path | None = None,
    wide: bool = False,
    format: str | None = None,
    out: str | Path | None = None,
    remote: str | None = None,
) -> pd.DataFrame:
    """Return all records of a store, or of one suite, in long form: a row per record and number.

    With `wide`, a row per record. With `out`, they are also written there, as CSV or Parquet: by `format`,
    else by the file's suffix. With `remote`, as in `load`, the store is filled first.
    """
    from harness.exchange.exporting import export_records

    place = open_place(store, remote)
    return export_records(place, suite, wide, format, None if out is None else Path(out))[0]


@refusing_unknown()
def merge(into: str | Path, *sources: str | Path, tolerance: float = 0.0) -> MergeResult:
    """Copy the records that the store `into` lacks from others, and return what happened.

    Numbers of a record on both sides that differ by more than the relative `tolerance` are in `.conflicts`:
    those of `into` stay, with a remark that tables show. A source may be in a bucket, as "s3://bucket/name".
    Raises StoreError for a source that is no store, BucketError for a bucket that can't be read.
    """
    from harness.mirroring.merging import merge_sources

    return merge_sources(into, sources, tolerance)


@refusing_unknown()
def import_results(
    *files: str | Path,
    importer: str | None = None,
    store: str | Path | None = None,
    suite: str | None = None,
    source: str | None = None,
    commit: str | None = None,
    date: str | None = None,
    replace: bool = False,
    model: str | None = None,
    dataset: str | None = None,
    metrics: Sequence[str] = (),
    targets: str | None = None,
    split: str | None = None,
    protocol: str | None = None,
    seed: int = 0,
    tags: Mapping[str, Any] | None = None,
    made_by: str | None = None,
) -> Imported:
    """Write other programs' results (files, or folders of them) into a store as records.

    Each file goes to the importer that recognises it, or all go to `importer` (`table?model=Network` with
    options), whose name may also stand before the files. `suite` is the one to file them under, by default the
    importer's name; `source`, `commit` and `date` say where they are from. Nothing is written if one of the files can't
    be read; rows that can't are in `.left_out`. With `replace`, results take the place of those that an earlier import
    had of the same evaluations with other numbers; else these raise StoreError.

    The rest is for predictions per sample: names of `model` and `dataset` in tables, references of
    `metrics`, a data set that has the `targets` by their ids and its `split`, the `protocol` whose records they
    stand beside, the `seed`, the model's `tags`, and the program that they were `made_by`. Raises PluginNotFound
    for an unknown importer, DataError for files that can't be read.
    """
    from harness.exchange.importing import Origin, import_files
    from harness.exchange.predictions_request import PredictionsRequest
    from harness.exchange.recognising import split_program

    program, paths = split_program(files, importer)
    origin = Origin(source, commit, date)
    asked = PredictionsRequest(
        model, dataset, tuple(metrics), targets, split, protocol, made_by=made_by, seed=seed, tags=tags or {}
    )
    return import_files(paths, Store(store or default_store()), suite, program, origin, asked, replace)
