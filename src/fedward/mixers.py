"""The public name of the pre-aggregations, which are in `fedward.rules.mixers`."""

from .rules.mixers import ARC, NNM, Bucketing, ClipNorm, GroupMajority, Normalize, SequentialBucketing

__all__ = ["ARC", "NNM", "Bucketing", "ClipNorm", "GroupMajority", "Normalize", "SequentialBucketing"]
