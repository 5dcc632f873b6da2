"""The statistics of the leaderboard: intervals, paired tests, ties, ranks and gates.

Pure functions of arrays. Importing this needs numpy only; functions import scipy when called.
"""

from harness.statistics.across import AcrossTest as AcrossTest
from harness.statistics.across import NemenyiTest as NemenyiTest
from harness.statistics.across import Ranking as Ranking
from harness.statistics.across import complete_data_sets as complete_data_sets
from harness.statistics.across import friedman_test as friedman_test
from harness.statistics.across import nemenyi_test as nemenyi_test
from harness.statistics.across import rank_models as rank_models
from harness.statistics.across import wilcoxon_test as wilcoxon_test
from harness.statistics.align import AlignedPairs as AlignedPairs
from harness.statistics.align import Unpairable as Unpairable
from harness.statistics.align import align_samples as align_samples
from harness.statistics.bootstrap import bootstrap_interval as bootstrap_interval
from harness.statistics.bootstrap import bootstrap_mean_interval as bootstrap_mean_interval
from harness.statistics.bootstrap import sample_interval as sample_interval
from harness.statistics.checks import StatisticsError as StatisticsError
from harness.statistics.clusters import linearise_clusters as linearise_clusters
from harness.statistics.gates import Gate as Gate
from harness.statistics.gates import GateAnswer as GateAnswer
from harness.statistics.gates import GateError as GateError
from harness.statistics.gates import Verdict as Verdict
from harness.statistics.gates import combine_gate_answers as combine_gate_answers
from harness.statistics.gates import judge_gate as judge_gate
from harness.statistics.gates import parse_gate as parse_gate
from harness.statistics.intervals import Interval as Interval
from harness.statistics.intervals import seeds_samples_difference as seeds_samples_difference
from harness.statistics.intervals import seeds_samples_interval as seeds_samples_interval
from harness.statistics.intervals import t_interval as t_interval
from harness.statistics.intervals import wilson_interval as wilson_interval
from harness.statistics.multiple import holm as holm
from harness.statistics.paired import PairedTest as PairedTest
from harness.statistics.paired import mcnemar_test as mcnemar_test
from harness.statistics.paired import paired_difference_interval as paired_difference_interval
from harness.statistics.paired import paired_t_p as paired_t_p
from harness.statistics.paired import paired_t_test as paired_t_test
from harness.statistics.paired import paired_test as paired_test
from harness.statistics.paired import permutation_test as permutation_test
from harness.statistics.resampling import draw_sample_weights as draw_sample_weights
from harness.statistics.resampling import resampled_interval as resampled_interval
from harness.statistics.resampling import resampled_p as resampled_p
from harness.statistics.seed_summary import SeedSummary as SeedSummary
from harness.statistics.seed_summary import summarise_seeds as summarise_seeds
from harness.statistics.superiority import Superiority as Superiority
from harness.statistics.superiority import estimate_superiority as estimate_superiority
from harness.statistics.ties import BestSet as BestSet
from harness.statistics.ties import PerResample as PerResample
from harness.statistics.ties import PerSample as PerSample
from harness.statistics.ties import PerSeed as PerSeed
from harness.statistics.ties import best_and_tied as best_and_tied
