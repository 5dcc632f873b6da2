"""The Python API: what the command line does, with typed objects and DataFrames."""

from harness.api.checking import selftest as selftest
from harness.api.plugins import check as check
from harness.api.plugins import doctor as doctor
from harness.api.plugins import info as info
from harness.api.plugins import list_plugins as list_plugins
from harness.api.records import export as export
from harness.api.records import import_results as import_results
from harness.api.records import load as load
from harness.api.records import merge as merge
from harness.api.results import compare as compare
from harness.api.results import plots as plots
from harness.api.results import report as report
from harness.api.results import table as table
from harness.api.running import SuiteLike as SuiteLike
from harness.api.running import plan as plan
from harness.api.running import run as run
