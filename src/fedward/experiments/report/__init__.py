"""The HTML report of one or more runs: one self-contained page that opens in any browser.

``write_report([folder, ...], "report.html")`` reads the folders and writes the page; ``load_run`` reads one
folder for any other use, and ``render`` turns loaded runs into the page as a string.
"""

from .page import render, write_report
from .runs import Record, ReportError, RunData, load_run

__all__ = ["Record", "ReportError", "RunData", "load_run", "render", "write_report"]
