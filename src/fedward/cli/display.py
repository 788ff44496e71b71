"""What the command line shows when all is done: tables, and lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core import BEYOND, reads
from ..experiments.run import Summary
from ..redteam import NEVER_DECIDED, WORST_BY, Examination, Finding, Standing, label, unknown_dropped_told
from ..registry.entries import Entry
from ..registry.notation import short_for
from ..report.pieces import numbered
from ..report.series import whole_per_cent
from .consoles import HarmlessConsole
from .terminal import harmless

out = HarmlessConsole()
err = HarmlessConsole(stderr=True)


def say(text: str, console: Console = out) -> None:
    """A line of text as it is: names may hold what would be markup, or what a terminal would obey."""
    console.print(Text(harmless(text)), soft_wrap=True)


def percent(share: float | None, digits: int = 1) -> str:
    """A share as text; a dash where there is none. Without digits 0 and 100 are none and all alone."""
    if share is None or not isfinite(share):
        return "-"
    return f"{100 * share:.{digits}f} %" if digits else f"{whole_per_cent(share)} %"


def summary_table(summaries: Sequence[Summary]) -> Table:
    """Attack x rule: accuracies and accepted rates."""
    table = _columns(["attack", "rule"], ["best\naccuracy", "final\naccuracy", *ACCEPTED])
    before = summaries[0].attack
    for s in summaries:
        if s.attack != before:
            table.add_section()
        before = s.attack
        rates = (percent(s.byzantine_accepted), percent(s.honest_accepted))
        reached = (None, None) if s.in_vain else (s.best_accuracy, s.final_accuracy)  # what an untrained model has
        table.add_row(s.attack, s.rule, *map(percent, reached), *rates)
    return table


def notes(summaries: Sequence[Summary]) -> Iterator[str]:
    """What the table does not show."""
    rounds = sorted({s.rounds for s in summaries})
    seconds = sum(s.seconds_per_round * s.rounds for s in summaries) / sum(s.rounds for s in summaries)
    yield f"{numbered(' or '.join(map(str, rounds)), 'round')}, {seconds:.2f} s each"
    for s in summaries:
        of = numbered(s.rounds, "round")
        if s.rounds > s.asked:
            yield f"{s.folder} held {of}, more than the {s.asked} asked for: they are kept and shown"
        if s.skipped:
            yield f"{s.rule} under {s.attack}: {s.skipped} of {of} left the model as it was: {s.skipped_why}"
        if s.beyond:
            yield f"{s.rule} under {s.attack}: {s.beyond} of {of} were decided {BEYOND}"
        if s.nobody:
            yield f"{s.rule} under {s.attack}: in {s.nobody} of {of} nobody was accepted"
        if s.none_finite:
            yield f"{s.rule} under {s.attack}: in {s.none_finite} of {of} no honest client sent finite numbers"


def examination_table(examinations: Sequence[Examination]) -> Table:
    """One rule: its worst case by kind of attack. Several: each with its worst attack."""
    return _strengths(examinations[0]) if len(examinations) == 1 else _rules(examinations)


def _strengths(examination: Examination) -> Table:
    normalised = examination.astray() is not None
    last = ["statistics"] if normalised else []
    table = _columns(["worst strength of each attack, by kappa"], ["kappa", "progress", *ACCEPTED, "accuracy", *last])
    for _, f in examination.worst():
        accepted = percent(f.byzantine_accepted, 0), percent(f.honest_accepted, 0)
        far = ["" if f.statistics is None else f"{f.statistics:.3g}"] if normalised else []
        table.add_row(_played(f), f"{f.kappa:.3g}", f"{f.progress:.2f}", *accepted, percent(f.accuracy), *far)
    return table


def _played(finding: Finding) -> str:
    """An attack, and in how many rounds there was nothing to measure of it, as the rule decided none of them."""
    refused = finding.refused
    return label(finding.attack) + (f" (refused in {numbered(refused, 'round')})" if refused else "")


def refusals_told(examinations: Iterable[Examination]) -> Iterator[str]:
    """Why rules refused rounds, a sentence for each rule that did, with the most frequent reason."""
    for e in examinations:
        whys = Counter[str]()
        for f in e.findings:
            whys.update({f.refused_why: f.refused} if f.refused_why is not None else {})
        if whys:
            [(why, rounds)] = whys.most_common(1)
            others = f" ({len(whys) - 1} other reason{'s' * (len(whys) > 2)})" if len(whys) > 1 else ""
            yield f"{e.rule} refused {numbered(rounds, 'round')}: {why}{others}"


def ranking_told(standings: Sequence[Standing]) -> Iterator[str]:
    """What the column of honest updates in `ranking_table` is, and what it does not say of some rules."""
    yield (
        "Honest dropped: the largest share of honest updates that a rule leaves out where nobody attacks. Rules that "
        "work column by column leave out no whole one, whatever they trim."
    )
    yield from unknown_dropped_told(standings)


def ranking_table(standings: Sequence[Standing]) -> Table:
    """Rules by rank: what each is worth at worst and without attack, and what it costs."""
    table = _columns(
        ["rule", "worst attack, by accuracy"], ["worst\naccuracy", "without\nattack", "honest\ndropped", "ms"]
    )
    for s in standings:
        shares = percent(s.worst), percent(s.untouched), percent(s.honest_dropped, 0)
        rule = f"{s.rule} ({NEVER_DECIDED})" if s.undecided else s.rule
        table.add_row(rule, f"{label(s.under)} ({s.where})", *shares, f"{1000 * s.seconds:.1f}")
    return table


def statistics_told(examinations: Sequence[Examination]) -> Iterator[str]:
    """What came of forged running statistics, a sentence for each rule, where the model has any."""
    for e in examinations:
        if e.forged is not None:
            attack, accuracy = e.forged
            untouched = percent(e.untouched)
            yield f"{e.rule}: {percent(accuracy)} with running statistics forged as by {attack} ({untouched} without)"


def _rules(examinations: Sequence[Examination]) -> Table:
    table = _columns(["rule", "worst, by kappa"], ["kappa", ACCEPTED[0], "accuracy\nwithout", "lowest\naccuracy"])
    for e in examinations:
        _, worst = e.worst()[0]
        lowest = e.trained[0][1] if e.trained else None
        moved = (_played(worst), f"{worst.kappa:.3g}", percent(worst.byzantine_accepted, 0))
        found = (NEVER_DECIDED, "-", "-") if e.undecided else moved
        table.add_row(e.rule, *found, percent(e.untouched), percent(lowest))
    return table


def worst_told(examinations: Sequence[Examination]) -> Iterator[str]:
    """A sentence for each rule on which attack is the worst by which measure, and that kappa is no training."""
    for e in examinations:
        if not e.findings:
            continue
        _, worst = e.worst()[0]
        told = e.undecided_told() or f"{e.rule}: worst by kappa {label(worst.attack)} ({worst.kappa:.3g})"
        if e.undecided and e.trained:
            attack, accuracy = e.trained[0]
            told += f" Of those trained under, the worst by accuracy is {label(attack)} ({percent(accuracy)})."
        elif e.trained:
            attack, accuracy = e.trained[0]
            told += f"; by accuracy, of those trained under, {label(attack)} ({percent(accuracy)})"
        yield told
    yield WORST_BY


ACCEPTED = ("byzantine\naccepted", "honest\naccepted")


def _columns(texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for heading in texts:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def catalogue_table(entries: Sequence[Entry]) -> Table:
    """Rules, mixers or attacks: each with its arguments, what it does, and what it takes."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, show_header=False, padding=(0, 1, 1, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for e in entries:
        arguments = ", ".join(k if default is ... else f"{k}={default}" for k, default in e.arguments.items())
        facts = "; ".join(_facts(e))
        lines = [Text(e.summary), Text(arguments, style="cyan"), Text(facts, style="dim")]
        table.add_row(e.name, Text("\n").join(line for line in lines if line))
    return table


def _facts(entry: Entry) -> Iterator[str]:
    """What is said of an entry below its arguments."""
    yield entry.paper
    for alias, text in short_for(entry).items():
        yield f"{alias} is {text}"
    if entry.kind != "rule":
        return
    yield entry.bound
    if entry.definition:
        yield f"{entry.definition} with bound=definition"
    yield entry.complexity
    if statistics := reads(entry.build()):
        yield f"reads {', '.join(statistics)}"
    if entry.history:
        yield "remembers rounds"
    if entry.root_data:
        yield "needs root data"


def say_ids(byzantine: Any) -> None:
    """What a list of numbers in a file is: it looks like several values of a key, which a list of others is."""
    if isinstance(byzantine, list) and byzantine and all(type(one) is int for one in byzantine):
        clients = ", ".join(map(str, byzantine))
        counts = ", ".join(f'"{one}"' for one in byzantine)
        say(f"byzantine = [{clients}]: the clients {clients}; so many of them would be [{counts}].", err)
