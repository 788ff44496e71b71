"""Which rule for a federation: candidates examined in its own setting, and ranked by the worst that came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from ..attacks import Attack
from ..core import Context, Rule, step_or_skip
from ..experiments.spec import RunSpec, SpecError
from ..registry.notation import describe, parse
from ..stack import Dense
from .arsenal import ALL_ATTACKS
from .capture import CAPTURED, as_examined, capture
from .findings import NEVER_DECIDED, NONE, Examination
from .play import check_on_rows, check_played

CANDIDATES: tuple[str, ...] = (
    "mean",
    "median",
    "trimmed-mean",
    "geometric-median",
    "multi-krum",
    "dnc",
    "flame",
    "sign-guard",
    "lasa",
    "nnm >> median",
    "nnm >> trimmed-mean",
    "bucketing:s=2 >> geometric-median",
    "arc >> trimmed-mean",
    "sign-guard >> median",
)
"""Rules of different ideas and chains of them, each with the f of the setting where it needs one; all need no data."""

ALSO: tuple[str, ...] = ("alie", "min-max", "sign-flip:scale=4.0", "label-flip")
"""What every candidate is trained under where nobody names attacks, besides those that are the worst for it."""

PARTITIONS: tuple[str, ...] = ("iid", "dirichlet:alpha=0.5")
"""Who holds what, where nobody says: clients alike, and clients that are not."""

NOTHING_LEARNT = (
    "Nothing was learned, with any rule, even where nobody attacks, so that this ranks nothing: more rounds, another "
    "step size or another model are needed first."
)
"""What there is to say of such a choice."""
_LEARNT = 1.5
"""Times as good as a guess a model must be to have learned something."""
ALIKE = 0.015
"""Worst accuracies that differ by less are taken for equal: seeds alone differ by as much."""

_TIMED = 3


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a rule is worth in a setting.

    Attributes:
        rule: as text.
        worst: the lowest test accuracy after a short training run, over attacks, partitions and seeds.
        under: the attack that it was under.
        where: the partition and seed.
        untouched: the lowest accuracy without attack, over partitions and seeds.
        honest_dropped: the largest share of honest updates without weight where nobody attacks, over them; None where
            that was not played in all of them, and of a plain function, which says of nobody what became of him.
        seconds: of one aggregation.
        undecided: as `Examination.undecided`: where it is not 0, attacks were sought against how the rule begins alone.
    """

    rule: str
    worst: float
    under: str
    where: str
    untouched: float
    honest_dropped: float | None
    seconds: float
    undecided: int = 0

    @property
    def collapses(self) -> bool:
        """Whether an attack costs more than half of what is learned without."""
        return self.worst < self.untouched / 2

    def undecided_told(self) -> str:
        """A sentence on a rule that never decided; empty where it did."""
        if not self.undecided:
            return ""
        return (
            f"{self.rule} {NEVER_DECIDED} on captured rounds, of which it must have seen {self.undecided} before: the "
            f"attacks that are the worst against it are not known, and it comes last. fedward redteam --captured "
            f"{self.undecided + 2} examines it."
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON has it, with the measure by which the worst is the worst."""
        return {**asdict(self), "worst_by": "accuracy"}


def nothing_learnt(standings: Sequence[Standing], classes: int) -> bool:
    """Whether no rule learned anything even where nobody attacks, so that the ranking says nothing.

    Args:
        standings: of all rules.
        classes: of the data; a guess is right in one of so many cases.
    """
    return max((s.untouched for s in standings), default=0.0) < _LEARNT / classes


def standing(rule: str, examinations: Sequence[Examination], seconds: float) -> Standing:
    """Of one rule, examined in one or more settings.

    Raises:
        ValueError: a rule that was not trained under any attack, or not without.
    """
    trained = [(accuracy, attack, examined_in(e)) for e in examinations for attack, accuracy in e.trained]
    untouched = [e.untouched for e in examinations if e.untouched is not None]
    if not trained or not untouched:
        raise ValueError(f"{rule} was not trained, so that it has no standing; examine it with worst or also")
    worst, under, where = min(trained, key=lambda each: each[0])
    known = [e.baseline.honest_accepted for e in examinations if e.baseline is not None]
    kept = [share for share in known if share is not None]
    return Standing(
        rule=rule,
        worst=worst,
        under=under,
        where=where,
        untouched=min(untouched),
        honest_dropped=1 - min(kept) if len(kept) == len(examinations) else None,
        seconds=seconds,
        undecided=max(e.undecided for e in examinations),
    )


def attacks_played(attacks: Sequence[str], among: Iterable[RunSpec] = ()) -> tuple[str, ...] | None:
    """What is played on captured rows where somebody named attacks; all there are (None) where nobody did.

    None at all comes first where they lack it: what rules drop then is a part of their standing. Attacks that on so few
    rounds would be none, on data or from a later round on, are left to `attacks_trained`.

    Args:
        attacks: as text.
        among: the examinations that they are for.
    """
    if not attacks:
        return None
    named = dict.fromkeys(text if text == ALL_ATTACKS else describe(_attack(text)) for text in attacks)
    specs = [as_examined(spec) for spec in among]
    rules = [(spec.make_rule(), spec.seed) for spec in specs]
    on_rows = [text for text in named if text == ALL_ATTACKS or _is_played(_attack(text), rules)]
    return tuple(on_rows) if {NONE, ALL_ATTACKS} & {*on_rows} else (NONE, *on_rows)


def _is_played(attack: Attack, rules: Sequence[tuple[Rule, int]]) -> bool:
    """Whether it is an attack on captured rounds, before every one of some rules with their seeds."""
    try:
        check_on_rows(attack)
        for rule, seed in rules:
            check_played(rule, attack, CAPTURED, seed)
    except ValueError:
        return False
    return True


def attacks_trained(attacks: Sequence[str]) -> tuple[str, ...]:
    """What every candidate is trained under: what somebody named, `ALSO` where nobody did, and both where "all" is.

    Raises:
        SpecError: no such attack, or none is named but "no-attack", under which nothing can be ranked.
    """
    named = [text if text == ALL_ATTACKS else describe(_attack(text)) for text in attacks]
    if named and {*named} == {NONE}:
        raise SpecError(f"attack: {NONE} alone ranks nobody: name an attack beside it, or none for the usual ones")
    also = ALSO if not named or ALL_ATTACKS in named else ()
    return tuple(dict.fromkeys((*also, *(text for text in named if text not in (NONE, ALL_ATTACKS)))))


def _attack(text: str) -> Attack:
    try:
        attack = parse(text, "attack")
    except ValueError as error:
        raise SpecError(f"attack: {error}") from None
    assert isinstance(attack, Attack)
    return attack


def examined_in(examination: Examination) -> str:
    """In which of several settings it was made."""
    settings = examination.settings
    return f"{settings['partition']}, seed {settings.get('seed', 0)}"


def ranked(standings: Sequence[Standing]) -> list[Standing]:
    """The best first: by worst accuracy; those as good as the best (`ALIKE`) by honest dropped, then by seconds.

    Where of one of these it is not known what it drops, seconds alone decide. Rules that never decided where attacks
    were sought come after all others.
    """
    best = max((s.worst for s in standings if not s.undecided), default=0.0)
    alike = [s for s in standings if s.worst > best - ALIKE and not s.undecided]
    known = all(s.honest_dropped is not None for s in alike)

    def order(s: Standing) -> tuple[bool, bool, float, float]:
        if s in alike:
            return False, False, (s.honest_dropped or 0.0) if known else 0.0, s.seconds
        return bool(s.undecided), True, -s.worst, 0.0

    return sorted(standings, key=order)


def unknown_dropped_told(standings: Sequence[Standing]) -> Iterator[str]:
    """A sentence on rules of which nobody knows what they drop; none where it is known of all."""
    unknown = [s.rule for s in standings if s.honest_dropped is None]
    if unknown:
        yield (
            f"What {', '.join(unknown)} drops is not known, as of any plain function, which says nothing of single "
            "clients. Where one of these is among the best, time alone decides between them."
        )


def seconds_of(rules: Mapping[str, Rule], spec: RunSpec) -> dict[str, float]:
    """Seconds of one aggregation by each rule, the least of a few, on the first round of honest training.

    Raises:
        DataError: data files are missing or damaged.
    """
    [first] = capture(spec, 0, 1)
    rows = Dense(first.rows, ids=first.whose)
    seconds = {}
    for name, rule in rules.items():
        context = Context(rule.traits().starts, spec.seed, messages=first.messages, evaluator=first.evaluator)
        took = []
        for _ in range(_TIMED):
            began = perf_counter()
            step_or_skip(rule, rows, {}, context)
            took.append(perf_counter() - began)
        seconds[name] = min(took)
    return seconds
