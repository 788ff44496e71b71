"""Whether rounds have enough rows for the rule: asked before the first one."""

from __future__ import annotations

from ..core import BoundError, Rule
from .cohort import Cohort


def check_rows(rule: Rule, cohort: Cohort) -> None:
    """Raise `BoundError` if the rule cannot decide a round of these clients, ValueError if there is no such round.

    Rounds without classes have the answers that are sure to come. A class has the rows of those that hold samples of
    it: all of them where everybody answers, else so many as in an average round, rounded down.
    """
    many = cohort.clients.traits().by_class
    classes = cohort.data.dataset.classes
    if many > classes:
        raise ValueError(f"{cohort.clients!r} asks for {many} classes a round, and the data have {classes}: take fewer")
    if not many:
        rule.check_clients(cohort.data.n, cohort.most)
        rule.check(cohort.fewest)
        return
    senders = {c: cohort.senders(c) for c in range(classes)}
    rows = {c: len(clients) * cohort.fewest // cohort.data.n for c, clients in senders.items() if clients}
    # Any classes can come together. From those with the fewest rows to those with the most, each is in one of these.
    ranked = sorted(rows, key=lambda c: (rows[c], c))
    for first in range(max(len(ranked) - many, 0) + 1):
        together = ranked[first : first + many]
        held = [len(senders[c]) for c in together]
        try:
            rule.check_clients(sum(held), sum(min(cohort.most, clients) for clients in held))
            rule.check_classes({c: rows[c] for c in together})
        except BoundError as error:
            named = ", ".join(_class_in_words(cohort, c, rows[c], senders[c]) for c in together)
            raise BoundError(
                f"a round of {named}: {error}; give a smaller f, or have more clients hold each class"
            ) from None


def _class_in_words(cohort: Cohort, c: int, rows: int, senders: list[int]) -> str:
    """A class with the number of its rows, and whose they are."""
    byzantine = len(cohort.byzantine.intersection(senders))
    average = " on average" if cohort.fewest < cohort.data.n else ""
    honest = len(senders) - byzantine
    return f"class {c} ({rows} rows{average}, from {honest} honest and {byzantine} byzantine clients)"
