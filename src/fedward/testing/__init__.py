"""Conformance suites: what every rule and attack must do, fedward's own and anyone's.

``fedward.testing.check_rule(MyRule(f=2))`` raises an AssertionError that names every check that failed and what went
wrong, or returns the outcomes, one for each check; `check_attack` likewise, and `check_wrapper` for components that are
made of others. `parametrize` makes a test of pytest of every check. They take about a second, and need nothing but
PyTorch (`parametrize` needs pytest).
"""

from .attacks import check_attack
from .claims import PROPERTIES
from .marks import parametrize
from .rules import CHECKS, check_rule
from .stacks import QuadraticEvaluator, example_stacks, fewest, random_stack
from .suite import Check, CheckOutcome
from .wrappers import check_wrapper

__all__ = [
    "CHECKS",
    "PROPERTIES",
    "Check",
    "CheckOutcome",
    "QuadraticEvaluator",
    "check_attack",
    "check_rule",
    "check_wrapper",
    "example_stacks",
    "fewest",
    "parametrize",
    "random_stack",
]
