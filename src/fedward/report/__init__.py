"""Every page: of runs, of sweeps, of audits, of the red team, of data sets. Each is one self-contained file.

``write_report([folder, ...], "report.html")`` reads the folders and writes the page; ``load_run`` reads one
folder for any other use, and ``render`` turns loaded runs into the page as a string.
"""

from ..sim import Record
from .audit_words import of_one_vote
from .choice import write_choice
from .datasets import write_data
from .page import render, write_report
from .redteam import write_examinations
from .runs import ReportError, RunData, load_run
from .sweep_exports import write_sweep_as
from .sweep_reading import is_of_several, read_sweep_runs
from .sweep_store import is_sweep, read_stored
from .sweep_table import SweepData, of_sweep
from .verdicts import write_audit, write_result

__all__ = [
    "Record",
    "ReportError",
    "RunData",
    "SweepData",
    "is_of_several",
    "is_sweep",
    "load_run",
    "of_one_vote",
    "of_sweep",
    "read_stored",
    "read_sweep_runs",
    "render",
    "write_audit",
    "write_choice",
    "write_data",
    "write_examinations",
    "write_report",
    "write_result",
    "write_sweep_as",
]
