"""Suites as tests of pytest, one for every check; pytest is imported where it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..attacks import Attack
from ..core import Rule
from .attacks import attack_checks
from .rules import Oracle, rule_checks
from .suite import Check

if TYPE_CHECKING:
    import pytest


def parametrize(components: Iterable[Rule | Attack], *, oracle: Oracle | None = None) -> pytest.MarkDecorator:
    """One test for every rule or attack and every check of its suite.

    ::

        @fw.testing.parametrize([ShortRows(f=2), ShortRows(f=0)])
        def test_conforms(check):
            check()

    A test is named by the component and the check, ``ShortRows(f=2): f = 0 works``, so that ``-k`` finds either.

    Args:
        components: rules and attacks, with their parameters.
        oracle: a naive reference for the rules, as `check_rule` takes it.

    Raises:
        ImportError: pytest is not installed.
        TypeError: a component is neither a rule nor an attack.
    """
    import pytest

    tests = [
        pytest.param(check, id=f"{component!r}: {check.name}")
        for component in components
        for check in _checks_of(component, oracle)
    ]
    return pytest.mark.parametrize("check", tests)


def _checks_of(component: Rule | Attack, oracle: Oracle | None) -> tuple[Check, ...]:
    if isinstance(component, Rule):
        return rule_checks(component, oracle=oracle)
    if isinstance(component, Attack):
        return attack_checks(component)
    raise TypeError(f"{component!r} is neither a rule nor an attack, with its parameters: nothing is known of it")
