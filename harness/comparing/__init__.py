"""Compare two stores, or two selections within one, with paired statistics and gates."""

from harness.comparing.comparison import Comparison as Comparison
from harness.comparing.comparison import ConditionWarning as ConditionWarning
from harness.comparing.comparison import Difference as Difference
from harness.comparing.comparison import MetricOverall as MetricOverall
from harness.comparing.comparison import UnfinishedCell as UnfinishedCell
from harness.comparing.comparison import compare as compare
from harness.comparing.gating import EXIT as EXIT
from harness.comparing.gating import CellVerdict as CellVerdict
from harness.comparing.gating import combine_gate_verdicts as combine_gate_verdicts
from harness.comparing.gating import judge_all as judge_all
from harness.comparing.gating import parse_gates as parse_gates
from harness.comparing.remarks import MatchedRemark as MatchedRemark
from harness.comparing.sides import CompareError as CompareError
from harness.comparing.sides import Side as Side
from harness.comparing.sides import parse_selection as parse_selection
from harness.comparing.text import render_comparison_markdown as render_comparison_markdown
from harness.comparing.text import render_comparison_text as render_comparison_text
