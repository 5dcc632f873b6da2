"""Results in plain tables of users: the columns are found by their names, or named by options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

from harness import DataError, ImportedPart, ImportedResult, OptionError, UnreadRow, did_you_mean
from harness_importers.csv_rows import Row
from harness_importers.numbers import BOUNDED, plain_texts, to_fraction
from harness_importers.table_cells import Marks, read_number, read_setting
from harness_importers.table_columns import NAMES, PERCENT, Measured, find_column, find_direction, name_metric
from harness_importers.table_merging import merge_metrics
from harness_importers.table_percent import find_value, mark_percent
from harness_importers.table_rows import peek_columns, read_table


class PlainTable:
    """Read a table with a row per evaluation: CSV, Parquet, or Excel (with the extra `excel`).

    Columns of a model, data set, protocol and seed, and those of known metrics, are found by their names. All other
    columns become settings. A column in percent says so with a `%`, or by numbers above 1 of a metric that has none.

    Args:
        model: the column of the models.
        dataset: the column of the data sets.
        protocol: the column of the protocols.
        seed: the column of the seeds.
        metrics: the columns of the metrics, separated by commas, if not those of known names.
        metric: with `value`, the column that names the metric of a row.
        value: the column of that metric's value.
        datasets: columns that are data sets, separated by commas, each holding `metric_is`.
        model_is: the model of all rows, if no column tells it.
        dataset_is: the data set of all rows.
        protocol_is: the protocol of all rows; by default `imported`.
        metric_is: the metric in the columns of `datasets`.
        axes: columns that tell evaluations of one model and data set apart, separated by commas.
        higher: columns of metrics of which larger values are better, separated by commas.
        lower: columns of metrics of which smaller values are better.
        percent: columns of metrics in percent.
        fraction: columns of metrics from 0 to 1, if others are in percent and it can't be told.
        decimal: the mark of decimals in texts, `.` or `,`.
        thousands: the mark between thousands in texts; by default there is none.
        separator: the separator of a CSV file; by default what its header has most often. `tab` is one, too.
        encoding: the encoding of a CSV file; by default UTF-8, or as a byte order mark says.
        sheet: the sheet of an Excel file, if it has several.
    """

    suffix: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".parquet", ".pq", ".xlsx", ".xlsm")
    general: ClassVar[bool] = True
    example: ClassVar[str] = (
        "model,dataset,top1,top5\nmy-net,imagenet,76.13,92.86\nmy-net,imagenet-r,36.17,\n"
    )

    def __init__(
        self,
        model: str | None = None,
        dataset: str | None = None,
        protocol: str | None = None,
        seed: str | None = None,
        metrics: str = "",
        metric: str | None = None,
        value: str | None = None,
        datasets: str = "",
        model_is: str | None = None,
        dataset_is: str | None = None,
        protocol_is: str = "imported",
        metric_is: str | None = None,
        axes: str = "",
        higher: str = "",
        lower: str = "",
        percent: str = "",
        fraction: str = "",
        decimal: str = ".",
        thousands: str = "",
        separator: str | None = None,
        encoding: str | None = None,
        sheet: str | None = None,
    ) -> None:
        if decimal not in (".", ",") or thousands == decimal:
            raise OptionError(
                f"decimal {decimal!r}, thousands {thousands!r}: expected '.' or ',', and not the same"
            )
        self.named = {"model": model, "dataset": dataset, "protocol": protocol, "seed": seed}
        self.named |= {"metric": metric, "value": value}
        self.fixed = {"model": model_is, "dataset": dataset_is, "protocol": protocol_is}
        self.metric_is, self.marks = metric_is, Marks(decimal, thousands)
        self.lists = {
            "metrics": metrics,
            "datasets": datasets,
            "axes": axes,
            "higher": higher,
            "lower": lower,
        }
        self.lists |= {"percent": percent, "fraction": fraction}
        self.separator = "\t" if separator == "tab" else separator
        self.encoding, self.sheet = encoding, sheet

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether the file has columns of a model, of a data set, and of a known metric."""
        header = peek_columns(file)
        known = {role: find_column(header, role) for role in NAMES}
        told = any(find_direction(name) is not None for name in header if name not in known.values())
        return bool(known["model"] and known["dataset"] and (told or (known["metric"] and known["value"])))

    def read(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        """Yield the rows as results. Raises DataError, starting with the file's path."""
        header, lines = read_table(file, self.separator, self.encoding, self.sheet)
        try:
            roles, lists = self._find_roles(header)
            rows = list(lines)
            measured = self._find_measured(
                header, roles, lists, [row for row in rows if isinstance(row, Row)]
            )
        except ValueError as error:
            raise DataError(f"{file}: {error}") from None
        taken = {*roles.values(), *(each.column for each in measured), *lists["axes"]}
        settings = [name for name in header if name and name not in taken]
        found = self._read_rows(rows, roles, measured, lists["axes"], settings)
        return merge_metrics(found) if "value" in roles else found

    def _find_roles(self, header: Sequence[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Return the column of each role that has one, and the columns that options list. Raises ValueError."""
        roles: dict[str, str] = {}
        for role, name in self.named.items():
            if name is not None and name not in header:
                raise ValueError(f"no column {name!r:.60} for {role}{did_you_mean(name, header)}")
            found = name or (
                None if self.fixed.get(role, None) and role != "protocol" else find_column(header, role)
            )
            roles |= {role: found} if found else {}
        lists = {key: [n.strip() for n in text.split(",") if n.strip()] for key, text in self.lists.items()}
        for key, names in lists.items():
            if unknown := [name for name in names if name not in header]:
                raise ValueError(f"no column {unknown[0]!r:.60} for {key}{did_you_mean(unknown[0], header)}")
        long = "metric" in roles and "value" in roles and not lists["metrics"] and not lists["datasets"]
        if not long:
            roles = {role: name for role, name in roles.items() if role not in ("metric", "value")}
        for role in ("model", "dataset"):
            if role not in roles and not self.fixed[role] and not (role == "dataset" and lists["datasets"]):
                wide = (
                    "; columns that are data sets: --as 'table?datasets=COLUMN,COLUMN&metric_is=top1'"
                    if role == "dataset"
                    else ""
                )
                raise ValueError(
                    f"no column of the {role} among {', '.join(filter(None, header))}; name it, as in "
                    f"--as 'table?{role}=COLUMN', or say it of all rows: --as 'table?{role}_is=NAME'{wide}"
                )
        return roles, lists

    def _find_measured(
        self,
        header: Sequence[str],
        roles: Mapping[str, str],
        lists: Mapping[str, Sequence[str]],
        rows: Sequence[Row],
    ) -> list[Measured]:
        """Return the columns of numbers. Raises ValueError if there are none, or if a direction is unknown."""
        if "value" in roles:
            return [find_value(roles, lists, rows, self.marks)]
        if lists["datasets"]:
            if self.metric_is is None:
                raise ValueError("datasets in columns: say what they hold, as in metric_is=top1")
            names = [(column, self.metric_is) for column in lists["datasets"]]
        else:
            free = [
                name for name in header if name and name not in roles.values() and name not in lists["axes"]
            ]
            told = (*lists["higher"], *lists["lower"])
            chosen = lists["metrics"] or [n for n in free if n in told or find_direction(n) is not None]
            names = [(column, name_metric(column)) for column in chosen]
        if not names:
            raise ValueError(
                f"no column of a known metric among {', '.join(filter(None, header))}; name them, as in "
                "--as 'table?metrics=COLUMN&higher=COLUMN'"
            )
        measured = []
        for column, metric in names:
            better = column in lists["higher"] or (
                None if column in lists["lower"] else find_direction(metric)
            )
            better = False if column in lists["lower"] else better
            if better is None:
                raise ValueError(
                    f"column {column!r:.60}: larger or smaller better? say higher={column} or lower={column}"
                )
            percent = column in lists["percent"] or bool(PERCENT.search(column))
            measured.append(Measured(column, metric, better, percent, column if lists["datasets"] else None))
        by_metric: dict[str, str] = {}
        for each in measured if not lists["datasets"] else ():
            if (other := by_metric.setdefault(each.metric, each.column)) != each.column:
                raise ValueError(
                    f"columns {other!r:.60} and {each.column!r:.60} both hold {each.metric}: say which, as in "
                    f"metrics={other}"
                )
        return mark_percent(measured, lists["fraction"], rows, self.marks)

    def _read_rows(
        self,
        rows: Sequence[Row | UnreadRow],
        roles: Mapping[str, str],
        measured: Sequence[Measured],
        axes: Sequence[str],
        settings: Sequence[str],
    ) -> Iterator[ImportedResult | UnreadRow]:
        for row in rows:
            if isinstance(row, UnreadRow):
                yield row
                continue
            try:
                yield from self._read_row(row, roles, measured, axes, settings)
            except ValueError as error:
                yield UnreadRow(str(error), row.line)

    def _read_row(
        self,
        row: Row,
        roles: Mapping[str, str],
        measured: Sequence[Measured],
        axes: Sequence[str],
        settings: Sequence[str],
    ) -> Iterator[ImportedResult]:
        """Yield the results of a row: one, or one for each column that is a data set. Raises ValueError."""
        names = {
            role: self._name_part(row, roles, role, measured) for role in ("model", "dataset", "protocol")
        }
        seed = read_number(row.cells[roles["seed"]], self.marks) if "seed" in roles else None
        if seed is not None and (not seed.is_finite() or seed != int(seed)):
            raise ValueError(
                f"{roles['seed']}: expected a whole number, found {row.cells[roles['seed']]!r:.60}"
            )
        numbers: dict[str, dict[str, tuple[Decimal, Measured]]] = {}
        remarks: list[str] = []
        for each in measured:
            text = row.cells.get(each.column, "")
            try:
                number = read_number(text, self.marks)
            except ValueError as error:
                raise ValueError(f"{each.column}: {error}") from None
            if number is None:
                continue
            if not each.metric:
                each = self._name_measured(row, roles["metric"], each)
            percent = each.percent or text.endswith("%")
            if (
                BOUNDED.fullmatch(each.metric)
                and number.is_finite()
                and not 0 <= number <= (100 if percent else 1)
            ):
                raise ValueError(
                    f"{each.column}: expected a {'percentage' if percent else 'fraction'}, found {text!r:.60}"
                )
            doubtful = each.guessed and not text.endswith("%") and number.is_finite() and 0 < number <= 1
            if doubtful:
                remarks.append(f"{each.metric}: {number} was read as a percentage, as others of it are")
            found = replace(each, percent=percent)
            numbers.setdefault(each.dataset or names["dataset"], {})[each.metric] = (number, found)
        if not numbers:
            raise ValueError("no number in it")
        for dataset, own in numbers.items():
            fractions = [name for name, (_, m) in own.items() if m.percent or BOUNDED.fullmatch(name)]
            yield ImportedResult(
                protocol=ImportedPart(names["protocol"], names["protocol"]),
                model=ImportedPart(names["model"], names["model"]),
                dataset=ImportedPart(dataset, dataset),
                metrics={k: to_fraction(n) if m.percent else float(n) for k, (n, m) in own.items()},
                directions={k: m.higher_is_better for k, (_, m) in own.items()},
                units=dict.fromkeys(fractions, "fraction"),
                axes={name: read_setting(row.cells.get(name, ""), self.marks) for name in axes},
                seed=0 if seed is None else int(seed),
                settings={
                    n: read_setting(row.cells[n], self.marks) for n in settings if row.cells.get(n, "")
                },
                written=plain_texts({k: n for k, (n, _) in own.items()}),
                line=row.line,
                remarks=remarks,
            )

    def _name_part(self, row: Row, roles: Mapping[str, str], role: str, measured: Sequence[Measured]) -> str:
        """Return what a row tells of a role, or what is said of all rows. Raises ValueError if it tells nothing."""
        if role in roles:
            if row.cells.get(roles[role], ""):
                return str(row.cells[roles[role]])
            raise ValueError(f"nothing in the column {roles[role]!r:.60}")
        return self.fixed[role] or (measured[0].dataset if measured else None) or ""

    def _name_measured(self, row: Row, column: str, each: Measured) -> Measured:
        """Return the metric that a row names for its value. Raises ValueError for one of unknown direction."""
        written = row.cells.get(column, "")
        metric = name_metric(written)
        better = find_direction(metric)
        if better is None:
            raise ValueError(f"{metric or 'no metric'}: unknown whether a larger value is better")
        marked = each.percent or bool(PERCENT.search(written))
        guessed = not marked and metric in each.in_percent
        return replace(
            each, metric=metric, higher_is_better=better, percent=marked or guessed, guessed=guessed
        )
