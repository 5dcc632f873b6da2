"""Comparing two stores, or two selections within one, with paired statistics and gates."""

from harness.compare.comparison import Comparison as Comparison
from harness.compare.comparison import Difference as Difference
from harness.compare.comparison import Overall as Overall
from harness.compare.comparison import Unfinished as Unfinished
from harness.compare.comparison import Warned as Warned
from harness.compare.comparison import compare as compare
from harness.compare.gating import EXIT as EXIT
from harness.compare.gating import Judged as Judged
from harness.compare.gating import answer as answer
from harness.compare.gating import judge_all as judge_all
from harness.compare.gating import parse_gates as parse_gates
from harness.compare.remarks import MatchedRemark as MatchedRemark
from harness.compare.sides import CompareError as CompareError
from harness.compare.sides import Side as Side
from harness.compare.sides import parse_selection as parse_selection
from harness.compare.text import markdown as markdown
from harness.compare.text import terminal as terminal
