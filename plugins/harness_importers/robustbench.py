"""Results of RobustBench.

The files `model_info/DATASET/THREAT/MODEL.json` of https://github.com/RobustBench/robustbench, and the tables
`unaggregated_results*.csv` beside them: accuracy by corruption and severity.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from harness import DataError, ImportedPart, ImportedResult, UnreadRow
from harness_importers.csv_rows import PEEKED, decode, read_records
from harness_importers.json_files import peek_object, read_json
from harness_importers.numbers import parse_number, plain_texts, to_fraction

DATASETS = ("cifar10", "cifar100", "imagenet")
THREATS = ("Linf", "L2", "corruptions", "corruptions_3d")
CORRUPTED = {"corruptions_acc": "c", "corruptions_acc_2d": "c", "corruptions_acc_3d": "3dcc"}
"""Mean accuracies over corruptions and severities, and what the corrupted data sets are called."""

MCE = {"corruptions_mce": "c", "corruptions_mce_2d": "c", "corruptions_mce_3d": "3dcc"}
ATTACKS = {"autoattack_acc": "robust_accuracy", "external": "robust_accuracy_by_others"}
"""Accuracies under attack: by AutoAttack, and the lowest that others found."""

SETTINGS = ("architecture", "additional_data", "number_forward_passes", "unreliable")
ABOUT = ("name", "link", "authors", "venue", "reported", "footnote")
SOURCE = "https://github.com/RobustBench/robustbench"


class RobustBench:
    """Read RobustBench's `model_info`: accuracy, clean and robust, mCE, and accuracy by corruption and severity.

    Args:
        threat: the threat model of the files, if no folder of that name holds them: `Linf`, `L2` or `corruptions`.
        dataset: the data set of a table by corruption, if no folder of that name holds it, such as `imagenet`.
    """

    suffix: ClassVar[tuple[str, ...]] = (".json", ".csv")
    example_name: ClassVar[str] = "Hendrycks2020Many.json"
    # model_info/imagenet/corruptions/Hendrycks2020Many.json at commit 1b5eb2c672bade8e2b44799e4da8232662cb69f0
    example: ClassVar[str] = (
        '{"link": "https://arxiv.org/abs/2006.16241", "name": "The Many Faces of Robustness: A Critical Analysis of '
        'Out-of-Distribution Generalization\\n", "additional_data": false, "number_forward_passes": 1, "dataset": '
        '"imagenet", "venue": "ICCV 2021", "architecture": "ResNet-50", "eps": null, "clean_acc": "76.88", '
        '"reported": "", "corruptions_acc": "51.61"}'
    )

    def __init__(self, threat: str | None = None, dataset: str | None = None) -> None:
        self.threat, self.dataset = threat, dataset

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether the file has RobustBench's keys, or its two header rows of corruptions and severities."""
        if file.suffix.lower() == ".json":
            found = peek_object(file)
            return {"dataset", "clean_acc"} <= found.keys() and any(
                key in found for key in (*CORRUPTED, *ATTACKS)
            )
        try:
            return bool(_read_header(read_records(decode(file, most=PEEKED), ",")))
        except DataError:
            return False

    def read(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        """Yield the file's results. Raises DataError, starting with the file's path."""
        if file.suffix.lower() == ".csv":
            return self._read_table(file)
        return iter(self._read_model(file))

    def _read_model(self, file: Path) -> list[ImportedResult]:
        content = read_json(file)
        if not isinstance(content, dict) or not isinstance(content.get("dataset"), str):
            raise DataError(f"{file}: expected RobustBench's dataset, clean_acc and more, found no 'dataset'")
        dataset: str = content["dataset"]
        threat = self.threat or next((p for p in reversed(file.parts[:-1]) if p in THREATS), None)
        if threat is None and any(key in content for key in CORRUPTED):
            threat = "corruptions"
        if threat is None:
            raise DataError(
                f"{file}: in no folder {', '.join(THREATS)}, which would tell the threat model; say it: "
                "--as 'robustbench?threat=Linf'"
            )
        groups: dict[tuple[str, str], dict[str, str]] = {("classification", dataset): {"clean_acc": "top1"}}
        groups["adversarial", dataset] = ATTACKS
        for ending in ("c", "3dcc"):
            keys = {key: "mean_accuracy" for key, end in CORRUPTED.items() if end == ending}
            keys |= {key: "mce" for key, end in MCE.items() if end == ending}
            groups["corruptions", f"{dataset}-{ending}"] = keys
        made = [_build_result(file, content, threat, *place, keys) for place, keys in groups.items()]
        found = [result for result in made if result is not None]
        if not found:
            raise DataError(
                f"{file}: expected RobustBench's clean_acc, {', '.join([*ATTACKS, *CORRUPTED])}; found none"
            )
        return found

    def _read_table(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        records = read_records(decode(file), ",")
        places = _read_header(records)
        if not places:
            raise DataError(
                f"{file}: expected RobustBench's rows of corruptions and of severities as its header"
            )
        dataset = self.dataset or next((p for p in reversed(file.parts[:-1]) if p in DATASETS), None)
        if dataset is None:
            raise DataError(
                f"{file}: in no folder {', '.join(DATASETS)}, which would tell the data set; say it: "
                "--as 'robustbench?dataset=imagenet'"
            )
        return _read_corruptions(dataset, "3dcc" if "3d" in file.stem else "c", places, records)


def _build_result(
    file: Path, content: dict[str, Any], threat: str, protocol: str, dataset: str, keys: dict[str, str]
) -> ImportedResult | None:
    """Return the result of some of a file's keys, None if it has none of them."""
    metrics: dict[str, float] = {}
    written: dict[str, Decimal] = {}
    remarks = []
    for key, name in keys.items():
        value = content.get(key)
        try:
            number = None if value is None else parse_number(value if isinstance(value, str) else repr(value))
            if number is not None and not 0 <= number <= (10_000 if name == "mce" else 100):
                raise ValueError(f"expected a percentage, found {value!r:.60}")
        except ValueError as error:
            raise DataError(f"{file}: {key}: {error}") from None
        if number is None:
            continue
        written[name] = number
        # texts were written by hand, in percent; numbers by its program, as fractions
        is_fraction = not isinstance(value, str) and number <= 1
        metrics[name] = float(number) if name == "mce" or is_fraction else to_fraction(number)
        if is_fraction and name != "mce":
            remarks.append(f"{key}: the number {value} was read as a fraction, not as a percentage")
    if not metrics:
        return None
    axes = {"threat_model": threat}
    if protocol == "adversarial" and content.get("eps") not in (None, ""):
        axes["eps"] = str(content["eps"])
    settings = {
        k: content[k] for k in SETTINGS if isinstance(content.get(k), str | int | float) and content[k] != ""
    }
    return ImportedResult(
        protocol=ImportedPart(protocol, protocol),
        model=ImportedPart("robustbench", file.stem, {"name": file.stem, "threat_model": threat}),
        dataset=ImportedPart(dataset, dataset),
        metrics=metrics,
        directions={name: name != "mce" for name in metrics},
        units={name: "fraction" for name in metrics if name != "mce"},
        axes=axes,
        settings=settings,
        notes={
            k: content[k].strip() for k in ABOUT if isinstance(content.get(k), str) and content[k].strip()
        },
        written=plain_texts(written),
        origin={"source": SOURCE},
        remarks=remarks,
    )


def _read_header(records: Iterator[tuple[int, list[str]] | UnreadRow]) -> dict[int, tuple[str, int]]:
    """Return corruption and severity of each column that has both; empty if the first two rows don't tell them."""
    heads = [head[1] for head in (next(records, None), next(records, None)) if isinstance(head, tuple)]
    if len(heads) < 2 or not all(head and not head[0].strip() for head in heads):
        return {}
    pairs = enumerate(zip(*heads, strict=False))
    return {n: (c.strip(), int(s)) for n, (c, s) in pairs if c.strip() and s.strip() in tuple("12345")}


def _read_corruptions(
    dataset: str,
    ending: str,
    places: dict[int, tuple[str, int]],
    records: Iterator[tuple[int, list[str]] | UnreadRow],
) -> Iterator[ImportedResult | UnreadRow]:
    for record in records:
        if isinstance(record, UnreadRow):
            yield record
            continue
        line, cells = record
        if not any(cell.strip() for cell in cells):
            continue
        if not cells[0].strip() or len(cells) <= max(places):
            what = "no name in the first column" if len(cells) > max(places) else f"{len(cells)} cells"
            yield UnreadRow(f"{what}, expected a model and {len(places)} accuracies", line)
            continue
        for place, (corruption, severity) in places.items():
            try:
                number = parse_number(cells[place])
                if number is not None and not 0 <= number <= 1:
                    raise ValueError(f"expected a fraction, found {cells[place]!r:.60}")
            except ValueError as error:
                yield UnreadRow(f"{cells[0].strip()}: {corruption} {severity}: {error}", line)
                continue
            if number is not None:
                yield _build_corrupted(cells[0].strip(), dataset, ending, corruption, severity, number, line)


def _build_corrupted(
    model: str, dataset: str, ending: str, corruption: str, severity: int, number: Decimal, line: int
) -> ImportedResult:
    tags = {"role": "corruption", "reference": dataset, "corruption": corruption, "severity": severity}
    options = {"corruption": corruption, "severity": severity}
    return ImportedResult(
        protocol=ImportedPart("classification", "classification"),
        model=ImportedPart("robustbench", model, {"name": model, "threat_model": "corruptions"}),
        dataset=ImportedPart(
            f"{dataset}-{ending}", f"{dataset}-{ending} {corruption} {severity}", options, tags
        ),
        metrics={"top1": float(number)},
        directions={"top1": True},
        units={"top1": "fraction"},
        axes={"threat_model": "corruptions"},
        written=plain_texts({"top1": number}),
        line=line,
        origin={"source": SOURCE},
    )
