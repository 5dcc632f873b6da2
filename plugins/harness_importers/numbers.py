"""Numbers in users' files, read to their last digit: decimals, percents, thousands, what stands for none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

MISSING = frozenset(("", "-", "--", "–", "—", "n/a", "na", "#n/a", "null", "none", "~"))
"""What stands in files for a number that there is not."""

PLAIN = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?|[+-]?(nan|inf(inity)?)", re.IGNORECASE
)

BOUNDED = re.compile(
    r"(lp_)?(top-?\d+|acc(uracy)?(_?\d+|@\d+)?|acc(uracy)?[_ ]norm|.*[_ ]acc(uracy)?|balanced_accuracy|mean_per_class(_recall)?"
    r"|exact_match|f1([_ -](score|macro|micro|weighted))?|(macro|micro|weighted)[_ -]f1|precision|recall|.*recall@\d+"
    r"|(roc_|pr_)?auc|auroc|average_precision|mean_average_precision|m?ap(@?[\d.:]+)?|m?iou|mean_iou|dice|em|r@\d+)",
    re.IGNORECASE,
)
"""Metrics that lie between 0 and 1 by definition: a larger number is written in percent."""

LOWER = re.compile(
    r".*(loss|perplexity|ppl|error|bits_per_byte|bpb|mce|rmse|mse|mae|ece|nll|brier)([_ ].*)?|([cw]er|fid|kid|eer|ter)(@\d+)?"
    r"|top\d+_err",
    re.IGNORECASE,
)
"""Metrics of which smaller values are better, by their names."""

HIGHER = re.compile(
    r"(sacre)?bleu[_\d-]*|rouge[_\d\w-]*|meteor|cider(-?d)?|spice|chrf[+]*|bert_?score.*|(.*_)?(pearson|spearman)(r|_corrcoef)?"
    r"|matthews(_correlation)?|mcc|ndcg.*|mrr.*|map_at_\d+|ndcg_at_\d+|(precision|recall)_at_\d+|r2|v_measure|ap|psnr|ssim"
    r"|(.*[_ ])?(score|robust_accuracy|jaccard.*|win_rate|pass@\d+)|glue|cos_sim_.*|.*_(accuracy|f1|ap)",
    re.IGNORECASE,
)
"""Metrics of which larger values are better, by their names, beside those of `BOUNDED`."""


def is_higher_better(metric: str) -> bool | None:
    """Return whether larger values of a metric are better, by its name; None if the name doesn't tell."""
    if LOWER.fullmatch(metric):
        return False
    return True if BOUNDED.fullmatch(metric) or HIGHER.fullmatch(metric) else None


def parse_number(text: str, decimal: str = ".", thousands: str = "") -> Decimal | None:
    """Return the number that a text writes, exactly; None for what stands for none.

    `decimal` and `thousands` are the marks that the file uses; thousands must stand in threes. Raises ValueError
    that says what was found, in words to follow the column's name.
    """
    plain = text.strip().strip("\u00a0\u202f").replace("\u2212", "-")
    if plain.lower() in MISSING:
        return None
    if thousands and thousands in plain:
        whole, mark, rest = plain.partition(decimal)
        if not re.fullmatch(rf"[+-]?[0-9]{{1,3}}({re.escape(thousands)}[0-9]{{3}})+", whole):
            raise ValueError(f"expected a number with {thousands!r} between thousands, found {text!r:.60}")
        plain = whole.replace(thousands, "") + mark + rest
    if decimal != ".":
        if "." in plain:
            raise ValueError(f"expected a number with the decimal mark {decimal!r}, found {text!r:.60}")
        plain = plain.replace(decimal, ".")
    if not PLAIN.fullmatch(plain):
        raise ValueError(f"expected a number, found {text!r:.60}")
    number = Decimal(plain)
    if number.is_finite() and abs(number) > Decimal("1.7976931348623157e308"):
        raise ValueError(f"expected a number that a float can hold, found {text!r:.60}")
    return number


def to_fraction(percent: Decimal) -> float:
    """Return a percentage as a fraction: its decimals moved by two places, and no digit changed by arithmetic."""
    return float(percent.scaleb(-2)) if percent.is_finite() else float(percent)


def plain_texts(numbers: Mapping[str, Decimal]) -> dict[str, str]:
    """Return numbers as texts with all their digits; only finite ones."""
    return {
        name: format(number, "f")
        for name, number in numbers.items()
        if number.is_finite() and _is_short(number)
    }


def _is_short(number: Decimal) -> bool:
    """Return whether a number without a power of ten is not unduly long."""
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and -60 < exponent < 60
