"""The report: one self-contained HTML file with leaderboards, plots and the records behind them."""

from harness.report.page import write_report

__all__ = ["write_report"]
