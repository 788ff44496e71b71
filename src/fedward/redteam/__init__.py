"""The red team: a standing examination of any rule, on real updates, by every attack at every strength.

Honest updates of a real training run are captured; every attack forges rows from them, the adaptive ones against the
rule itself; what the rule makes of it is compared with the honest mean. Then the model is trained under the worst.
"""

from .arsenal import ADAPTIVE, ALARMS, ALL_ATTACKS, ARSENAL, EVERYTHING, attacks_on, family, label, played_on
from .capture import Captured, as_examined, capture
from .choice import (
    ALIKE,
    ALSO,
    CANDIDATES,
    NOTHING_LEARNT,
    PARTITIONS,
    Standing,
    attacks_played,
    attacks_trained,
    examined_in,
    nothing_learnt,
    ranked,
    seconds_of,
    standing,
    unknown_dropped_told,
)
from .examine import check_attacked, checked_attack, examination_steps, examine, examine_all
from .findings import NEVER_DECIDED, NONE, WORST_BY, Examination, RedTeamError, load_examination
from .play import Finding, play

__all__ = [
    "ADAPTIVE",
    "ALARMS",
    "ALIKE",
    "ALL_ATTACKS",
    "ALSO",
    "ARSENAL",
    "CANDIDATES",
    "EVERYTHING",
    "NEVER_DECIDED",
    "NONE",
    "NOTHING_LEARNT",
    "PARTITIONS",
    "WORST_BY",
    "Captured",
    "Examination",
    "Finding",
    "RedTeamError",
    "Standing",
    "as_examined",
    "attacks_on",
    "attacks_played",
    "attacks_trained",
    "capture",
    "check_attacked",
    "checked_attack",
    "examination_steps",
    "examine",
    "examine_all",
    "examined_in",
    "family",
    "label",
    "load_examination",
    "nothing_learnt",
    "play",
    "played_on",
    "ranked",
    "seconds_of",
    "standing",
    "unknown_dropped_told",
]
