"""Every page: of runs, of audits, of the red team, of data sets. Each is one self-contained file for any browser.

``write_report([folder, ...], "report.html")`` reads the folders and writes the page; ``load_run`` reads one
folder for any other use, and ``render`` turns loaded runs into the page as a string.
"""

from ..sim import Record
from .datasets import write_data
from .page import render, write_report
from .redteam import write_examinations
from .runs import ReportError, RunData, load_run
from .verdicts import write_audit, write_result

__all__ = [
    "Record",
    "ReportError",
    "RunData",
    "load_run",
    "render",
    "write_audit",
    "write_data",
    "write_examinations",
    "write_report",
    "write_result",
]
