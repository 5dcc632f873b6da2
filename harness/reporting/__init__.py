"""The report: one self-contained HTML file with leaderboards, plots and the records behind them."""

from harness.reporting.page import write_report

__all__ = ["write_report"]
