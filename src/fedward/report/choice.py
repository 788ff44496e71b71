"""The page about a choice of rule: the ranking, and what each candidate was trained under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from ..redteam import (
    ALIKE,
    NEVER_DECIDED,
    NONE,
    NOTHING_LEARNT,
    Examination,
    Standing,
    examined_in,
    label,
    unknown_dropped_told,
)
from .pieces import NONE as ABSENT
from .pieces import breakable, count, document, numbered, per_cent, save_page, table
from .style import shade

TITLE = "Which rule for this federation?"


def write_choice(
    standings: Sequence[Standing],
    examinations: Mapping[str, Sequence[Examination]],
    refused: Mapping[str, str],
    output: Path,
    *,
    learnt: bool = True,
) -> Path:
    """Write the page about a choice as one HTML file, which needs no network to open; return its path.

    Args:
        standings: the best first (`ranked`), at least one.
        examinations: by rule, one a setting.
        refused: candidates that could not be examined, and why.
        output: the file.
        learnt: whether any rule learned something where nobody attacks; else the ranking says nothing.
    """
    parts = [
        _answer(standings[0]) if learnt else f"<p><b>{NOTHING_LEARNT}</b></p>\n",
        _ranking(standings),
        _heat(standings, examinations),
    ]
    if refused:
        lines = "".join(f"<li>{escape(rule)}: {escape(why)}</li>" for rule, why in refused.items())
        parts.append(f"<h2>Not examined</h2>\n<ul>{lines}</ul>\n")
    return save_page(output, document(TITLE, _lead(examinations), "".join(parts), charts=False))


def _lead(examinations: Mapping[str, Sequence[Examination]]) -> str:
    found = next(iter(examinations.values()))
    s = found[0].settings
    facts = [count(len(examinations), "rule"), str(s["data"]), str(s["model"])]
    facts += [f"{numbered(s['clients'], 'client')}, {s['byzantine']} byzantine"]
    facts += [f"trained for {numbered(s['rounds'], 'round')}"]
    facts += ["; ".join(examined_in(e) for e in found)]
    return " &middot; ".join(map(escape, facts))


def _answer(best: Standing) -> str:
    if best.undecided:  # and so no other rule did
        return f"<p><b>None of these was examined by what it is.</b> {escape(best.undecided_told())}</p>\n"
    if best.collapses:
        return (
            f"<p><b>None of these withstands.</b> Even under {escape(best.rule)} the worst attack, "
            f"{escape(label(best.under))}, costs more than half of what is learned without. More clients, fewer "
            "byzantine ones, or data that clients have more in common are what helps.</p>\n"
        )
    line = escape(f'RobustFedAvg(rule="{best.rule}")')
    return (
        f"<p><b>{escape(best.rule)}</b>: {best.worst:.1%} at worst, under {escape(label(best.under))} "
        f"({escape(best.where)}); {best.untouched:.1%} without attack. "
        f"In a Flower federation: <code>{line}</code></p>\n"
    )


def _ranking(standings: Sequence[Standing]) -> str:
    head = [
        "Rule",
        "Worst<br>accuracy",
        "Worst, by<br>accuracy, under",
        "Without<br>attack",
        "Honest<br>dropped",
        "Aggregation",
    ]
    rows = [
        [
            breakable(s.rule) + f"<small>{NEVER_DECIDED}</small>" * bool(s.undecided),
            per_cent(s.worst, 1),
            f"{breakable(label(s.under))}<small>{escape(s.where)}</small>",
            per_cent(s.untouched, 1),
            per_cent(s.honest_dropped, 0),
            f"{1000 * s.seconds:.1f} ms",
        ]
        for s in standings
    ]
    caption = (
        "The lowest test accuracy after a short training run, over the attacks below and all settings. Rules within "
        f"{100 * ALIKE:.1f} points of the best are taken for equally good, and stand by how many honest updates they "
        "drop where nobody attacks, then by time. Rules that work column by column drop no whole one, whatever they "
        "trim."
    )
    caption += "".join(f" {escape(told)}" for told in unknown_dropped_told(standings))
    caption += "".join(f" {escape(s.undecided_told())}" for s in standings if s.undecided)
    return f'<h2>Ranking</h2>\n{table(head, rows, 1, "wide")}<p class="caption">{caption}</p>\n'


def _heat(standings: Sequence[Standing], examinations: Mapping[str, Sequence[Examination]]) -> str:
    """A table of rules by attacks; what was played against one rule alone is in one column."""
    every = [_lowest(examinations[s.rule]) for s in standings]
    common = [attack for attack in every[0] if all(attack in found for found in every)]
    numbers = [accuracy for found in every for accuracy, _ in found.values()]
    several = len(examinations[standings[0].rule]) > 1  # of one setting the lead tells
    top = max(numbers)
    bottom = min(numbers)

    def cell(accuracy: float | None, small: str) -> str:
        if accuracy is None:
            return f'<td class="none">{ABSENT}</td>'
        level = (accuracy - bottom) / max(top - bottom, 0.1)
        return f'<td style="{shade(level)}">{100 * accuracy:.1f}<small>{breakable(small)}</small></td>'

    head = "".join(f"<th>{breakable('no attack' if a == NONE else label(a))}</th>" for a in common)
    owns = [{attack: told for attack, told in found.items() if attack not in common} for found in every]
    body = []
    for s, found, own in zip(standings, every, owns, strict=True):
        worst = min(own, key=lambda attack: own[attack][0], default=None)
        cells = "".join(cell(accuracy, where * several) for accuracy, where in (found[a] for a in common))
        if any(owns):
            cells += cell(None, "") if worst is None else cell(own[worst][0], label(worst))
        body.append(f'<tr><th class="rule">{breakable(s.rule)}</th>{cells}</tr>\n')
    caption = "Test accuracy in per cent after a short training run, in the setting where it was lowest."
    if any(owns):
        head += "<th>worst found,<br>by kappa</th>"
        caption += (
            " Worst found is the least under the attacks that were the worst against this rule alone by kappa, the "
            "distance of its output from the honest mean."
        )
    return (
        '<h2>Rules by attacks</h2>\n<div class="scroll"><table class="heat answer"><thead><tr>'
        f'<th class="rule">Rule</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>\n"
        f'<p class="caption">{caption}</p>\n'
    )


def _lowest(examinations: Sequence[Examination]) -> dict[str, tuple[float, str]]:
    """By attack, the lowest accuracy over settings, and which setting that is."""
    found: dict[str, tuple[float, str]] = {}
    for e in examinations:
        untouched = [] if e.untouched is None else [(NONE, e.untouched)]
        for attack, accuracy in (*untouched, *e.trained):
            if attack not in found or accuracy < found[attack][0]:
                found[attack] = (accuracy, examined_in(e))
    return found
