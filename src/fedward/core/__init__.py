"""The decision, as data: rules, plans, chains, and the aggregator that carries them out and judges each client."""

from ..registry.traits import WHOLE, Bound, Knowledge, Reading, Traits, merged
from ..stack import rows_of
from .aggregator import Aggregator, RawWeightsWarning
from .chain import Chain, Mixer, Mixers, ScalingMixer, reads
from .compound import Compound, Whole
from .context import EXAMPLES, Context, Messages, heard
from .evaluator import Evaluator, RootEvaluator
from .filtered import Filtered, Front
from .function import FunctionRule
from .neutral import neutral
from .plan import (
    Plan,
    Reason,
    average_of,
    how_many,
    how_many_said,
    levels,
    median_of,
    noted,
    rows_judged,
    smallest,
)
from .repeated import FunctionWarning
from .rule import BEYOND, BoundError, CostWarning, Decided, Outcome, Rule, apply, decide_on
from .state import State, finite_copy, most
from .step import Skipped, Step, decision, step, step_or_skip
from .verdict import Result, judge

__all__ = [
    "BEYOND",
    "EXAMPLES",
    "WHOLE",
    "Aggregator",
    "Bound",
    "BoundError",
    "Chain",
    "Compound",
    "Context",
    "CostWarning",
    "Decided",
    "Evaluator",
    "Filtered",
    "Front",
    "FunctionRule",
    "FunctionWarning",
    "Knowledge",
    "Messages",
    "Mixer",
    "Mixers",
    "Outcome",
    "Plan",
    "RawWeightsWarning",
    "Reading",
    "Reason",
    "Result",
    "RootEvaluator",
    "Rule",
    "ScalingMixer",
    "Skipped",
    "State",
    "Step",
    "Traits",
    "Whole",
    "apply",
    "average_of",
    "decide_on",
    "decision",
    "finite_copy",
    "heard",
    "how_many",
    "how_many_said",
    "judge",
    "levels",
    "median_of",
    "merged",
    "most",
    "neutral",
    "noted",
    "reads",
    "rows_judged",
    "rows_of",
    "smallest",
    "step",
    "step_or_skip",
]
