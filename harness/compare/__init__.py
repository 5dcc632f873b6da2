"""Compare two stores, or two selections within one, with paired statistics and gates."""

from harness.compare.comparison import Comparison as Comparison
from harness.compare.comparison import ConditionWarning as ConditionWarning
from harness.compare.comparison import Difference as Difference
from harness.compare.comparison import MetricOverall as MetricOverall
from harness.compare.comparison import UnfinishedCell as UnfinishedCell
from harness.compare.comparison import compare as compare
from harness.compare.gating import EXIT as EXIT
from harness.compare.gating import CellVerdict as CellVerdict
from harness.compare.gating import combine_gate_verdicts as combine_gate_verdicts
from harness.compare.gating import judge_all as judge_all
from harness.compare.gating import parse_gates as parse_gates
from harness.compare.remarks import MatchedRemark as MatchedRemark
from harness.compare.sides import CompareError as CompareError
from harness.compare.sides import Side as Side
from harness.compare.sides import parse_selection as parse_selection
from harness.compare.text import render_comparison_markdown as render_comparison_markdown
from harness.compare.text import render_comparison_text as render_comparison_text
