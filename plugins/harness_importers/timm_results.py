"""Accuracies of timm's models.

The files `results-*.csv` of https://github.com/huggingface/pytorch-image-models/tree/main/results: top-1 and
top-5 in percent for each model, with input size, crop and interpolation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from harness import DataError, ImportedPart, ImportedResult, UnreadRow
from harness_importers.csv_rows import Row, peek_header, read_rows
from harness_importers.numbers import parse_number, plain_texts, to_fraction

COLUMNS = ("model", "top1", "top5")
ROUNDED = Decimal("0.01")
"""By how much an accuracy and its error, each rounded, may miss 100 %."""

DATASETS = {
    "imagenet": "imagenet",
    "imagenet-real": "imagenet-real",
    "imagenetv2-matched-frequency": "imagenetv2",
    "inv2-matched-frequency": "imagenetv2",
    "imagenet-a": "imagenet-a",
    "imagenet-a-clean": "imagenet-a-clean",
    "imagenet-r": "imagenet-r",
    "imagenet-r-clean": "imagenet-r-clean",
    "sketch": "imagenet-sketch",
    "imagenet-sketch": "imagenet-sketch",
}
"""The data sets of the files `results-….csv`, by that part of their names; `clean` are ImageNet's own images of the
same 200 classes."""

OLDER_COLUMNS = {"cropt_pct": "crop_pct"}
"""Columns that older files call otherwise."""

AXES = ("img_size", "crop_pct")
"""What tells rows of one model apart."""

SETTINGS = ("img_size", "crop_pct", "interpolation", "param_count")
SOURCE = "https://github.com/huggingface/pytorch-image-models"


class TimmResults:
    """Read timm's `results-*.csv`: top-1 and top-5 accuracy of each model on one data set.

    Args:
        dataset: the data set that the file is about, if its name doesn't tell, such as `imagenet-a`.
    """

    suffix: ClassVar[str] = ".csv"
    example_name: ClassVar[str] = "results-imagenet-a.csv"
    # results/results-imagenet-a.csv at commit 049b1332531609533befd272f451991551560581
    example: ClassVar[str] = (
        "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation,top1_diff,top5_diff,rank_diff\n"
        'eva_giant_patch14_560.m30m_ft_in22k_in1k,87.573,12.427,96.893,3.107,"1,014.45",560,1.000,bicubic,-11.257,-3.007,+1\n'
        "tf_efficientnet_l2.ns_jft_in1k_475,83.387,16.613,95.453,4.547,480.31,475,0.936,bicubic,-15.113,-4.327,+8\n"
    )

    def __init__(self, dataset: str | None = None) -> None:
        self.dataset = dataset

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether the file has timm's columns."""
        header = peek_header(file)
        return header[:1] == ["model"] and {"top1", "top1_err", "top5", "top5_err"} <= set(header)

    def read(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        """Yield a result per model. Raises DataError, starting with the file's path."""
        header, rows = read_rows(file)
        if missing := [name for name in COLUMNS if name not in header]:
            raise DataError(f"{file}: expected timm's columns {', '.join(COLUMNS)}, found no '{missing[0]}'")
        part = file.stem.removeprefix("results-")
        dataset = self.dataset or DATASETS.get(part)
        if dataset is None:
            raise DataError(
                f"{file}: its name doesn't tell the data set, expected results-….csv with one of {', '.join(DATASETS)}; "
                "say it: --as 'timm?dataset=NAME'"
            )
        return self._read(
            dataset, [row if isinstance(row, UnreadRow) else _name_as_today(row) for row in rows]
        )

    def _read(self, dataset: str, rows: list[Row | UnreadRow]) -> Iterator[ImportedResult | UnreadRow]:
        # a model that was evaluated at several sizes has a row for each; all others are told apart by name
        places = {(row.cells["model"], *map(row.cells.get, AXES)) for row in rows if isinstance(row, Row)}
        often = Counter(model for model, *_ in places)
        for row in rows:
            if isinstance(row, UnreadRow):
                yield row
            else:
                yield _read_model(dataset, row, often[row.cells["model"]] > 1)


def _name_as_today(row: Row) -> Row:
    return Row(row.line, {OLDER_COLUMNS.get(name, name): cell for name, cell in row.cells.items()})


def _find_misfit(cells: Mapping[str, str], numbers: Mapping[str, Decimal]) -> str | None:
    """Return which accuracy and error are no 100 % together, as fractions and shifted columns are not, or no number."""
    for name, number in numbers.items():
        try:
            error = parse_number(cells.get(f"{name}_err", ""))
        except ValueError as problem:
            return f"{name}_err: {problem}"
        if error is not None and not abs(number + error - 100) <= ROUNDED:
            return f"{name} {number} and {name}_err {error}: expected percentages that sum to 100"
    return None


def _read_model(dataset: str, row: Row, several: bool) -> ImportedResult | UnreadRow:
    cells = row.cells
    if not cells["model"]:
        return UnreadRow("no name in the column 'model'", row.line)
    numbers: dict[str, Decimal] = {}
    settings: dict[str, Any] = {}
    for name in ("top1", "top5", *SETTINGS):
        text = cells.get(name, "")
        if name == "interpolation":
            settings |= {name: text} if text else {}
            continue
        try:
            number = parse_number(text, thousands=",")
        except ValueError as error:
            return UnreadRow(f"{name}: {error}", row.line)
        if number is None:
            continue
        if name in SETTINGS:
            settings[name] = int(number) if name == "img_size" and number == int(number) else float(number)
        elif not 0 <= number <= 100:
            return UnreadRow(f"{name}: expected a percentage, found {cells[name]!r:.60}", row.line)
        else:
            numbers[name] = number
    if "top1" not in numbers:
        return UnreadRow("no number in the column 'top1'", row.line)
    if problem := _find_misfit(cells, numbers):
        return UnreadRow(problem, row.line)
    axes: dict[str, Any] = {k: settings[k] for k in AXES if k in settings} if several else {}
    return ImportedResult(
        protocol=ImportedPart("classification", "classification"),
        model=ImportedPart("timm", cells["model"], {"name": cells["model"]}),
        dataset=ImportedPart(dataset, dataset),
        metrics={name: to_fraction(number) for name, number in numbers.items()},
        directions=dict.fromkeys(numbers, True),
        units=dict.fromkeys(numbers, "fraction"),
        axes=axes,
        settings=settings,
        written=plain_texts(numbers),
        line=row.line,
        origin={"source": SOURCE},
    )
