"""Folders of checkpoints: which of these clients are poisoned, and what comes of the others?

`run_audit` asks a panel of rules, `run_aggregate` aggregates by one; both read files of any format, one bad file is a
verdict on its client, and nothing pickled is ever run.
"""

from .calibrate import Calibration, Caught, calibrate
from .client_audit import ClientAudit
from .clients import AuditError, find_clients
from .evidence import Evidence, evidence_of
from .gather import ClientModels, gather
from .lowrank import LowRank
from .output import Merge, aggregate_adapters
from .panel import Opinion, PanelMember, members_of, usual_panel
from .run import Aggregated, panel_on, run_aggregate, run_audit
from .source import ModelSource, check_output, check_page
from .verdicts import audit_of

__all__ = [
    "Aggregated",
    "AuditError",
    "Calibration",
    "Caught",
    "ClientAudit",
    "ClientModels",
    "Evidence",
    "LowRank",
    "Merge",
    "ModelSource",
    "Opinion",
    "PanelMember",
    "aggregate_adapters",
    "audit_of",
    "calibrate",
    "check_output",
    "check_page",
    "evidence_of",
    "find_clients",
    "gather",
    "members_of",
    "panel_on",
    "run_aggregate",
    "run_audit",
    "usual_panel",
]
