"""Conformance suites: what every rule and attack must do, fedward's own and anyone's.

``fedward.testing.check_rule(MyRule(f=2))`` raises an AssertionError that names the check and what went wrong, and
returns None if the rule conforms; `check_attack` likewise, and `check_wrapper` for components that are made of others.
They need nothing but PyTorch, and take about a second.
"""

from .attacks import check_attack
from .rules import CHECKS, PROPERTIES, check_rule
from .stacks import QuadraticEvaluator, example_stacks, fewest, random_stack
from .wrappers import check_wrapper

__all__ = [
    "CHECKS",
    "PROPERTIES",
    "QuadraticEvaluator",
    "check_attack",
    "check_rule",
    "check_wrapper",
    "example_stacks",
    "fewest",
    "random_stack",
]
