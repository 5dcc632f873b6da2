"""Zero-shot results of open_clip's models.

The tables `docs/openclip_*results.csv` of https://github.com/mlfoundations/open_clip: a row per checkpoint and a
column per data set, or per data set and metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, NamedTuple

from harness import DataError, ImportedPart, ImportedResult, UnreadRow
from harness_importers.csv_rows import Row, peek_header, read_rows
from harness_importers.numbers import parse_number, plain_texts

MODEL = (("name", "pretrained"), ("model", "version"))
"""The first two columns of the tables: architecture and checkpoint."""

SETTINGS = ("params (M)", "FLOPs (B)")
AVERAGE = re.compile(r"(Average (perf\.|score).*|avg|.* avg)")
"""Columns that are means of others: tables make their own."""

MAIN_METRIC = {
    **dict.fromkeys(
        ("Caltech-101", "FGVC Aircraft", "Oxford Flowers-102", "Oxford-IIIT Pet"), "mean_per_class"
    ),
    **dict.fromkeys(("Flickr", "MSCOCO"), "mean_recall@1"),
    "WinoGAViL": "jaccard_score",
    "iWildCam": "macro_f1",
    "FMoW": "worst_region_accuracy",
    "Dollar Street": "worst_group_top5",
    "GeoDE": "worst_group_accuracy",
}
"""What is measured where it is not top-1 accuracy (`main_metric` in tasklist.yml of mlfoundations/datacomp)."""

OWN_NAMES = {
    "ImageNet 1k": "imagenet",
    "ImageNet v2": "imagenetv2",
    "ImageNet-A": "imagenet-a",
    "ImageNet-R": "imagenet-r",
    "ImageNet Sketch": "imagenet-sketch",
    "ObjectNet": "objectnet",
    "CIFAR-10": "cifar10",
}
"""Data sets that this harness has by another name."""

RETRIEVAL = re.compile(r"(?P<data>.+) (?P<way>image|text) retr\. R@(?P<k>\d+)")
MULTILINGUAL = re.compile(r"(?P<data>\S+) (?P<metric>(image|text)_retrieval_recall@\d+) (?P<language>\S+)")
WINOGAVIL = re.compile(r"WinoGAViL (?P<metric>.*jaccard score.*)")
SOURCE = "https://github.com/mlfoundations/open_clip"


class Meaning(NamedTuple):
    """What a column holds: protocol, data set and metric, and the language of a multilingual table."""

    protocol: str
    dataset: str
    metric: str
    language: str | None = None


class OpenClipResults:
    """Read open_clip's tables of zero-shot classification and retrieval, a row per checkpoint."""

    suffix: ClassVar[str] = ".csv"
    # docs/openclip_results.csv at commit 0a1cc15083a7759ffe7896c2ea73df6fd8e6d5f6, some of its columns
    example: ClassVar[str] = (
        "name,pretrained,Average perf. on 38 datasets,ImageNet 1k,Caltech-101,ImageNet v2,Flickr,WinoGAViL\n"
        "ViT-bigG-14,laion2b_s39b_b160k,0.6666803978865665,0.8009,0.9484,0.7359,0.8623,0.4488\n"
        "ViT-L-14-336,openai,0.6284065414845551,0.7656,0.9225,0.7089,0.7730,0.4145\n"
    )

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether the file has open_clip's columns."""
        header = peek_header(file)
        known = {*MAIN_METRIC, *OWN_NAMES}
        told = any(
            name in known or RETRIEVAL.fullmatch(name) or MULTILINGUAL.fullmatch(name) for name in header
        )
        return tuple(header[:2]) in MODEL and told

    def read(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        """Yield the results, one per checkpoint, protocol, data set and language. Raises DataError, with the path."""
        header, rows = read_rows(file)
        if tuple(header[:2]) not in MODEL or len(header) < 3:
            first = " or ".join(", ".join(names) for names in MODEL)
            raise DataError(
                f"{file}: expected open_clip's columns {first}, then data sets; found {header!r:.80}"
            )
        return self._read(header, rows)

    def _read(
        self, header: Sequence[str], rows: Iterator[Row | UnreadRow]
    ) -> Iterator[ImportedResult | UnreadRow]:
        columns = {name: interpret_column(name) for name in header[2:] if name and name not in SETTINGS}
        meanings = {name: meaning for name, meaning in columns.items() if meaning is not None}
        for row in rows:
            if isinstance(row, UnreadRow):
                yield row
            else:
                yield from _read_checkpoint(row, header[:2], meanings)


def interpret_column(name: str) -> Meaning | None:
    """Return what a column holds; None for a mean of others."""
    if AVERAGE.fullmatch(name):
        return None
    if found := RETRIEVAL.fullmatch(name):
        return Meaning("zeroshot_retrieval", found["data"], f"{found['way']}_retrieval_recall@{found['k']}")
    if found := MULTILINGUAL.fullmatch(name):
        return Meaning("zeroshot_retrieval", found["data"], found["metric"], found["language"])
    if found := WINOGAVIL.fullmatch(name):
        return Meaning("zeroshot_retrieval", "WinoGAViL", found["metric"].replace(" ", "_"))
    metric = MAIN_METRIC.get(name, "top1")
    retrieval = metric in ("mean_recall@1", "jaccard_score")
    protocol = "zeroshot_retrieval" if retrieval else "zeroshot_classification"
    return Meaning(protocol, OWN_NAMES.get(name, name), metric)


def _read_checkpoint(
    row: Row, naming: Sequence[str], meanings: dict[str, Meaning]
) -> Iterator[ImportedResult | UnreadRow]:
    architecture, checkpoint = (row.cells[name] for name in naming)
    if not architecture:
        yield UnreadRow(f"no name in the column '{naming[0]}'", row.line)
        return
    found: dict[tuple[str, str, str | None], dict[str, Decimal]] = {}
    for column, meaning in meanings.items():
        try:
            number = parse_number(row.cells[column])
            if number is not None and not 0 <= number <= 1:
                raise ValueError(f"expected a fraction, found {row.cells[column]!r:.60}")
        except ValueError as error:
            yield UnreadRow(f"{architecture} {checkpoint}: {column}: {error}", row.line)
            continue
        if number is not None:
            place = (meaning.protocol, meaning.dataset, meaning.language)
            found.setdefault(place, {})[meaning.metric] = number
    settings: dict[str, float] = {}
    for name in SETTINGS:
        try:
            number = parse_number(row.cells.get(name, ""), thousands=",")
        except ValueError as error:
            yield UnreadRow(f"{architecture} {checkpoint}: {name}: {error}", row.line)
            continue
        settings |= {} if number is None else {name: float(number)}
    options = {"model": architecture, "pretrained": checkpoint}
    for (protocol, dataset, language), numbers in found.items():
        yield ImportedResult(
            protocol=ImportedPart(protocol, protocol),
            model=ImportedPart("open_clip", f"{architecture} {checkpoint}".strip(), options),
            dataset=ImportedPart(dataset, dataset),
            metrics={name: float(number) for name, number in numbers.items()},
            directions=dict.fromkeys(numbers, True),
            units=dict.fromkeys(numbers, "fraction"),
            axes={} if language is None else {"language": language},
            settings=settings,
            written=plain_texts(numbers),
            line=row.line,
            origin={"source": SOURCE},
        )
