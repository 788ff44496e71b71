"""How many of a round's answers are byzantine, where not every client answers in every round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, lgamma
from typing import Any, Literal

from ..core import Rule, how_many
from ..registry.component import components_within
from ..registry.entries import catalogue
from ..registry.notation import describe, parse
from ..sim.cohort import drawn_in_round, fewest_answers, most_answers

Told = Literal["expected", "half", "twice", "unknown"]
"""What rules are told of the number of byzantine clients: as many as there are, half or twice as many, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of a round.

    Attributes:
        clients: in all.
        byzantine: of these.
        fewest: answers at least.
        most: answers at most, those included that come a round late.
        confidence: the share of rounds in which no more of them are byzantine than `worst`.
    """

    clients: int
    byzantine: int
    fewest: int
    most: int
    confidence: float = 0.99

    @classmethod
    def of(
        cls,
        *,
        clients: int,
        byzantine: int,
        participation: float,
        dropout: float,
        late: float,
        confidence: float = 0.99,
    ) -> Answers:
        """For the shares that a simulation is given."""
        drawn = drawn_in_round(clients, participation)
        return cls(
            clients=clients,
            byzantine=byzantine,
            fewest=fewest_answers(drawn, dropout, late),
            most=most_answers(clients, drawn, dropout, late),
            confidence=confidence,
        )

    def told(self, f: Told) -> Answers:
        """The same with as many byzantine clients as rules are told of."""
        if f == "half":
            return replace(self, byzantine=self.byzantine // 2)
        if f == "twice":
            return replace(self, byzantine=min(2 * self.byzantine, self.clients))
        return self

    @property
    def partial(self) -> bool:
        """Whether some clients are missing in some rounds."""
        return self.fewest < self.clients

    @property
    def mean(self) -> int:
        """Byzantine answers in an average round, rounded up."""
        return ceil(self.most * self.byzantine / self.clients)

    @property
    def worst(self) -> int:
        """The fewest byzantine answers that are exceeded in no more rounds than the confidence leaves."""
        rare = round(1 - self.confidence, 12)
        f = min(self.byzantine, self.most)
        above = 0.0  # the chance of more than f
        while f > self.mean and above + self._chance(f) <= rare:
            above += self._chance(f)
            f -= 1
        return f

    def exceeding(self, f: int) -> float:
        """The share of rounds with more than f byzantine answers, when who answers is drawn at random.

        P(X > f) for X hypergeometric: of ``clients``, ``byzantine`` of them marked, ``most`` are drawn.
        """
        return sum(map(self._chance, range(f + 1, min(self.byzantine, self.most) + 1)))

    def _chance(self, k: int) -> float:
        """P(X = k)."""
        honest = self.clients - self.byzantine
        if not 0 <= self.most - k <= honest:
            return 0.0
        ways = _log_comb(self.byzantine, k) + _log_comb(honest, self.most - k)
        return exp(ways - _log_comb(self.clients, self.most))


def clients_counted(byzantine: int | tuple[int, ...]) -> int:
    """A number of clients, of those that are counted or named."""
    return byzantine if isinstance(byzantine, int) else len(byzantine)


def clients_written(named: tuple[int, ...]) -> str:
    """Clients as text that is read again: ``3,4``, or ``3,`` for one."""
    return ",".join(map(str, named)) + "," * (len(named) == 1)


def rule_for(text: Any, answers: Answers, *, known: bool = True) -> Rule:
    """A rule of text or a table; an f that it needs and is not given is as `fedward.experiments.spec.RunSpec` says.

    Args:
        text: such as "multi-krum".
        answers: of a round.
        known: whether anybody may tell the rule how many clients are byzantine.

    Raises:
        ValueError: no such rule; or one that needs f, which is not known.
    """
    if not known:
        return _without_f(text)
    whole: Rule = parse(text, "rule", f=answers.byzantine)
    if whole.traits().recalls:  # its f is about all clients
        return whole
    for f in range(answers.worst, answers.mean, -1):
        try:
            rule: Rule = parse(text, "rule", f=f)
            check_answers(rule, answers)
        except ValueError:
            continue  # if it is not for this f, the last attempt says what is wrong
        return rule
    least: Rule = parse(text, "rule", f=answers.mean)
    return least


def _without_f(text: Any) -> Rule:
    try:
        rule: Rule = parse(text, "rule")
    except ValueError as error:
        try:
            parse(text, "rule", f=1)
        except ValueError:
            raise error from None
        raise ValueError(f"{text} needs f, and f is unknown: {needing_no_f()}") from None
    return rule


def needing_no_f() -> str:
    """What to take where f is unknown, in words."""
    names = [entry.name for entry in catalogue("rule", packaged=True) if not entry.needs_f]
    return f"give it one, as a number or a share (f=0.2), or take a rule that needs none: {', '.join(names)}"


def check_answers(rule: Rule, answers: Answers) -> None:
    """Raise `BoundError` if a round may have too few answers for the rule.

    An f that is a share may be more than the rule takes of some number of answers, and not of fewer.
    """
    shares = any(isinstance(f, float) for f in _told(rule))
    for n in range(answers.fewest, answers.most + 1) if shares else (answers.fewest,):
        rule.check(n)


def _told(rule: Rule) -> list[float]:
    """All f that a rule and its parts are told."""
    told = [getattr(part, "f", None) for part in components_within(rule)]
    return [f for f in told if isinstance(f, int | float)]


def exceeded(rule: Rule, text: str, answers: Answers) -> str:
    """How often more answers are byzantine than the rule expects, in a sentence or two; nothing where that is never.

    Args:
        rule: the rule.
        text: what it was made of, which may have left f to the specification.
        answers: of a round.
    """
    expected = [how_many(f, answers.most) for f in _told(rule)]
    if not expected or not answers.partial or rule.traits().recalls:
        return ""
    f = min(expected)
    often = answers.exceeding(f)
    if not often:
        return ""
    said = (
        f"{describe(rule)}: {answers.most} of {answers.clients} clients answer in a round; in {100 * often:.2g} % "
        f"of the rounds more than f = {f} of them are byzantine, and the rule promises nothing."
    )
    if not _is_chosen(text):
        return said
    confidence = f"{100 * answers.confidence:g} %"
    if f >= answers.worst:
        return f"{said} f is chosen for a confidence of {confidence}."
    return f"{said} A confidence of {confidence} needs f = {answers.worst}; of {answers.fewest} the rule takes less."


def _is_chosen(text: str) -> bool:
    """Whether the text of a rule leaves its f to the specification."""
    try:
        parse(text, "rule")
    except ValueError:
        return True
    return False


def _log_comb(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
