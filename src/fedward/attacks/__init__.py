"""Poisoning attacks. Each sees what its adversary knows, and mixes rows wherever it can."""

from .adaptive import Maximise
from .base import Attack, Batch, View
from .data import Backdoor, LabelFlip, TargetedPoisoning
from .directed import FangKrum, FangTrimmedMean
from .forge import ALIE, IPM, ByzMean
from .function import attack
from .optimised import Deviation, MinMax, MinSum
from .over_time import ROP, Mimic, PoisonedFL, Repeat
from .schedule import FalseAlarms, Groups, RandomSchedule, Schedule, SilentAlarms, Sybils, Virtual
from .simple import Constant, FreeRider, Gaussian, NoAttack, Noise, NonFinite, Random, Scaling, SignFlip, Zero
from .tailored import TailoredMinMax, TailoredMinSum

__all__ = [
    "ALIE",
    "IPM",
    "ROP",
    "Attack",
    "Backdoor",
    "Batch",
    "ByzMean",
    "Constant",
    "Deviation",
    "FalseAlarms",
    "FangKrum",
    "FangTrimmedMean",
    "FreeRider",
    "Gaussian",
    "Groups",
    "LabelFlip",
    "Maximise",
    "Mimic",
    "MinMax",
    "MinSum",
    "NoAttack",
    "Noise",
    "NonFinite",
    "PoisonedFL",
    "Random",
    "RandomSchedule",
    "Repeat",
    "Scaling",
    "Schedule",
    "SignFlip",
    "SilentAlarms",
    "Sybils",
    "TailoredMinMax",
    "TailoredMinSum",
    "TargetedPoisoning",
    "View",
    "Virtual",
    "Zero",
    "attack",
]
