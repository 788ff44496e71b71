"""A suite of checks that continues after a failure, and says of every check what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import isroutine
from typing import Literal, get_args

from ..core import Mixer, Rule
from ..registry.component import Component
from ..registry.naming import article
from .compare import Named, words

OnFail = Literal["raise", "report"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that one component must do; a call raises an AssertionError that says where it does not."""

    name: str
    test: Callable[[], object]

    def __call__(self) -> None:
        with Named(self.name):
            self.test()


@dataclass(frozen=True, kw_only=True)
class CheckOutcome:
    """What came of a check: its name, and the error if it failed."""

    name: str
    error: Exception | None = None

    @property
    def passed(self) -> bool:
        """Whether the component does what it must."""
        return self.error is None

    @property
    def why(self) -> str:
        """What went wrong; empty if nothing did."""
        return "" if self.error is None else words(self.error)

    def __str__(self) -> str:
        return f"{self.name}: {self.why or 'passed'}"


def require_kind(component: object, wanted: type[Component]) -> None:
    """Refuse what no suite of this kind is for.

    Raises:
        TypeError: it is a class that still needs its parameters, or of another kind.
    """
    if isinstance(component, wanted):
        return
    needed = f"this suite is for {article(wanted.kind)}"
    if isinstance(component, type):
        raise TypeError(f"{needed} with its parameters, got the class itself: write {component.__name__}(...)")
    remedy = ""
    if isinstance(component, Mixer) and wanted is Rule:
        remedy = f": a mixer is tried before one, {type(component).__name__}(...) >> rules.Mean()"
    if isroutine(component) and wanted.kind in ("rule", "attack"):
        remedy = f": fedward.{wanted.kind} makes one of a function"
    raise TypeError(f"{needed}, got {component!r}{remedy}")


def run_checks(checks: Iterable[Check], on_fail: OnFail) -> tuple[CheckOutcome, ...]:
    """Run all checks.

    Args:
        checks: the suite, in the order in which its failures are told.
        on_fail: "raise" one error for all checks that failed, or "report" them in what is returned.

    Raises:
        AssertionError: checks failed, each a line of its name and what went wrong; its cause is the first one's.
        ValueError: ``on_fail`` is something else.
    """
    if on_fail not in get_args(OnFail):
        raise ValueError(f"on_fail is one of {', '.join(get_args(OnFail))}, got {on_fail!r}")
    outcomes = tuple(_outcome(check) for check in checks)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed and on_fail == "raise":
        raise AssertionError("\n".join(map(str, failed))) from failed[0].error
    return outcomes


def _outcome(check: Check) -> CheckOutcome:
    try:
        check.test()
    except Exception as error:
        return CheckOutcome(name=check.name, error=error)
    return CheckOutcome(name=check.name)
