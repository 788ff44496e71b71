"""How long what is left of a sweep is expected to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from .grid import Cell
from .store import state_of
from .work import Planned, rounds_in


def expected(planned: Planned) -> dict[Path, float | None]:
    """Seconds of a core that each cell that is to be done still takes, by its folder; None where nobody knows.

    What was measured in this folder comes before what the table says: the median of the cells that are done of the same
    group and rule, else of the group; then ``cost``; then the median of all that are done.
    """
    done = list(_done(planned))
    found: dict[Path, float | None] = {}
    jobs = planned.jobs()
    for cell, head in planned.cells:
        place = planned.folder.place(head)
        if place in jobs and place not in found:
            pace = _pace(cell, done)
            found[place] = None if pace is None else pace * max(cell.spec.rounds - rounds_in(place), 0)
    return found


def _pace(cell: Cell, done: list[tuple[Cell, float]]) -> float | None:
    """Seconds a round."""
    group = [(other, pace) for other, pace in done if other.group == cell.group and other.spec.data == cell.spec.data]
    same = [pace for other, pace in group if _rule(other.settings) == _rule(cell.settings)]
    for paces in (same, [pace for _, pace in group]):
        if paces:
            return median(paces)
    return cell.cost if cell.cost is not None else median(pace for _, pace in done) if done else None


def _rule(settings: Mapping[str, object]) -> str:
    return str(settings.get("rule"))


def _done(planned: Planned) -> Iterator[tuple[Cell, float]]:
    """The cells that are done, each with its seconds a round, its start included."""
    for cell, head in planned.cells:
        state = state_of(planned.folder.place(head), head.key, cell.spec.rounds)
        if head.key and state.status == "done":
            yield cell, state.seconds / cell.spec.rounds
