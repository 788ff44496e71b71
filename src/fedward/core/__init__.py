"""The decision, as data: rules, plans, chains, and the aggregator that carries them out and judges each client."""

from ..stack import rows_of
from .aggregator import Aggregator
from .chain import Chain, Mixer, Mixers, ScalingMixer
from .compound import Compound
from .context import EXAMPLES, Context, Messages, heard
from .evaluator import Evaluator, RootEvaluator
from .neutral import neutral
from .plan import Plan, Reason, average_of, levels, median, smallest
from .rule import Bound, BoundError, Outcome, Rule, apply
from .state import State, finite_copy, most
from .step import Skipped, Step, decision, step, step_or_skip
from .verdict import Result, judge

__all__ = [
    "EXAMPLES",
    "Aggregator",
    "Bound",
    "BoundError",
    "Chain",
    "Compound",
    "Context",
    "Evaluator",
    "Messages",
    "Mixer",
    "Mixers",
    "Outcome",
    "Plan",
    "Reason",
    "Result",
    "RootEvaluator",
    "Rule",
    "ScalingMixer",
    "Skipped",
    "State",
    "Step",
    "apply",
    "average_of",
    "decision",
    "finite_copy",
    "heard",
    "judge",
    "levels",
    "median",
    "most",
    "neutral",
    "rows_of",
    "smallest",
    "step",
    "step_or_skip",
]
