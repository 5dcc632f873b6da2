"""The options of `harness import` that are for predictions per sample."""

from __future__ import annotations

import argparse
from typing import Any

from harness.discovery.reference import parse_value
from harness.errors import SuiteError
from harness.exchange.predictions_request import PredictionsRequest


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group(
        "predictions per sample",
        "--as 'predictions?id=file&logits=score_*' names columns that are not found by themselves",
    )
    add = group.add_argument
    add("--model", metavar="NAME", help="the model's name in tables (default: the file's)")
    add(
        "--dataset",
        metavar="NAME",
        help="the data set's name in tables (default: that of --targets, else the suite's)",
    )
    add(
        "--metric",
        action="append",
        default=[],
        metavar="REF",
        help="a metric to compute (default: those of the suite's own records on the data set, else top1); may be repeated",
    )
    add("--targets", metavar="REF", help="a data set, or its folder, that has the samples by their ids")
    add("--split", metavar="NAME", help="the split of --targets (default: that for testing)")
    add("--protocol", metavar="NAME", help="the protocol whose records in the suite they stand beside")
    add("--seed", type=int, default=0, metavar="N", help="the seed by which tables average them (default: 0)")
    add(
        "--tag",
        dest="tags",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a tag of the model, such as standard=true for fits of effective robustness; may be repeated",
    )
    add("--made-by", metavar="TEXT", help="the program that made them, for the record")


def read_request(given: argparse.Namespace) -> PredictionsRequest:
    """Return what was given of the options."""
    return PredictionsRequest(
        model=given.model,
        dataset=given.dataset,
        metrics=tuple(given.metric),
        targets=given.targets,
        split=given.split,
        protocol=given.protocol,
        made_by=given.made_by,
        seed=given.seed,
        tags=dict(_read_tag(text) for text in given.tags),
    )


def _read_tag(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SuiteError(f"--tag {text}: expected KEY=VALUE, like standard=true")
    return key.strip(), parse_value(value)
