"""Which candidates of a tuned sweep have won, and what it took to find them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from ..disk import json_of, read_bounded, write_whole
from ..experiments.spec import SpecError
from ..failures import tamed
from ..sim.forms import Form, FormError, read_back, written
from .measures import best
from .rows import Row
from .trials import CLEAN, TrialRun, values_told

CHOICES = "choices.json"
"""Where the folder of a sweep has them."""

Purpose = Literal["clean", "worst"]
"""What a candidate is the best for: no attack, or the attack that harms it most."""

PURPOSES: tuple[Purpose, ...] = ("clean", "worst")


def _read_purpose(value: Any) -> Purpose:
    if value not in PURPOSES:
        raise FormError(f"must be one of {', '.join(PURPOSES)}, got {value!r}")
    return PURPOSES[PURPOSES.index(value)]


_PURPOSE = Form(write=str, read=_read_purpose)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The candidate that won, and what it took to find it.

    Attributes:
        contest: of which rule and setting.
        purpose: what it is the best for.
        values: the candidate's, by key.
        score: its accuracy on the validation split; for "worst" that under the attack that harms it most.
        attack: under which.
        candidates: that were compared; those of which a trial failed are not among them.
        trials, rounds: that were run for all choices of this contest.
        seconds: that these took; None where nobody knows.
    """

    contest: str
    purpose: Annotated[Purpose, _PURPOSE]
    values: Mapping[str, Any]
    score: float
    attack: str
    candidates: int
    trials: int
    rounds: int
    seconds: float | None = None

    def told(self) -> str:
        """In a sentence, with the budget, for a report."""
        chosen = values_told(self.values) or "the only candidate"
        took = "" if self.seconds is None else f", {self.seconds:.0f} s"
        under = "without attack" if self.purpose == "clean" else f"under {self.attack}, its worst attack"
        return (
            f"{self.contest}: {chosen}, with {100 * self.score:.2f} % of the validation split {under}; best of "
            f"{self.candidates} candidates after {self.trials} trials, {self.rounds} rounds in all{took}."
        )


def choose(
    tried: Sequence[TrialRun], rows: Iterable[Row], figure: Callable[[Row], float | None] = best
) -> list[Choice]:
    """The winners of all contests: the first of equals.

    Args:
        tried: all trials.
        rows: what came of them, by the names of their cells.
        figure: of a row, that counts.

    Raises:
        SpecError: a contest of which no candidate finished all of its trials.
    """
    by_name = {row.cell: row for row in rows}
    contests: dict[str, list[TrialRun]] = {}
    for trial in tried:
        contests.setdefault(trial.contest, []).append(trial)
    return [choice for contest, members in contests.items() for choice in _winners(contest, members, by_name, figure)]


def _winners(
    contest: str, members: Sequence[TrialRun], rows: Mapping[str, Row], figure: Callable[[Row], float | None]
) -> list[Choice]:
    candidates: dict[str, list[TrialRun]] = {}
    for trial in members:
        candidates.setdefault(values_told(trial.values), []).append(trial)
    scored = [reached for one in candidates.values() if (reached := _scores(one, rows, figure)) is not None]
    if not scored:
        raise SpecError(f"tune: {contest}: no candidate finished all of its trials; run the sweep again to resume them")
    run = [rows[trial.cell.name] for trial in members if trial.cell.name in rows]
    seconds = [row.seconds for row in run if row.seconds is not None]
    choices = []
    for purpose in PURPOSES:
        scores = [one.of(purpose) for one in scored]
        attack, score = max(scores, key=lambda of_one: of_one[1])
        best_one = scored[scores.index((attack, score))]
        choices.append(
            Choice(
                contest=contest,
                purpose=purpose,
                values=best_one.values,
                score=score,
                attack=attack,
                candidates=len(scored),
                trials=len(run),
                rounds=sum(row.rounds_done for row in run),
                seconds=sum(seconds) if seconds else None,
            )
        )
    return choices


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """A candidate's accuracies by attack."""

    values: Mapping[str, Any]
    by_attack: Mapping[str, float]

    def of(self, purpose: Purpose) -> tuple[str, float]:
        """The attack that counts, and the accuracy under it; without any attack in the sweep that without."""
        attacks = {attack: score for attack, score in self.by_attack.items() if attack != CLEAN}
        if purpose == "clean" or not attacks:
            return CLEAN, self.by_attack[CLEAN]
        return min(attacks.items(), key=lambda item: item[1])


def _scores(
    candidate: Sequence[TrialRun], rows: Mapping[str, Row], figure: Callable[[Row], float | None]
) -> _Scored | None:
    """None where a trial does not count: the mean of the others would favour what fails."""
    by_attack = {}
    for trial in candidate:
        row = rows.get(trial.cell.name)
        score = figure(row) if row is not None and row.counts else None
        if score is None:
            return None
        by_attack[trial.attack] = score
    return _Scored(values=candidate[0].values, by_attack=by_attack)


def write_choices(choices: Iterable[Choice], file: Path) -> None:
    """Keep choices beside a sweep, as JSON."""
    write_whole(file, json.dumps([written(choice) for choice in choices], indent=1) + "\n")


def read_choices(file: Path) -> list[Choice]:
    """The choices that `write_choices` kept.

    Raises:
        SpecError: the file is not there, or holds something else.
    """
    try:
        return [read_back(Choice, entry) for entry in json_of(read_bounded(file))]
    except (OSError, ValueError, TypeError) as error:
        raise SpecError(
            f"{file}: not the choices of a tuned sweep ({tamed(error)}); run the sweep again to make them"
        ) from error
