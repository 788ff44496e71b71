"""What the commands about clients' files do: aggregate, audit."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..audit import AuditError, ClientAudit, ModelSource, check_output, check_page, panel_on, run_aggregate, run_audit
from ..audit.calibrate import PLAYED, OnAttack
from ..audit.made import OnFile
from ..audit.notes import TAKEN_AS_UPDATES
from ..core import Result, Rule
from ..failures import tamed
from ..registry.notation import parse
from ..report import of_one_vote, write_audit
from . import display
from .progress import JobsProgress

DROPPED = 3
"""Exit status where somebody was dropped."""
_PATIENCE = 2.0
"""Seconds without a word about checksums."""
_LONG = 10_000_000
"""Entries of all clients together from which on it is said at once what is looked at."""
_COLUMNS = "norm: length of what a client {}; cosine: of the angle between that and the median of all clients'"
_NO_ANGLE = "; none here, where changes are from the clients' own median"
_NORM_OF_RULE = (
    "norm: as the rule looks at it; SignGuard's is a length over the median length, others' the length itself"
)


def source(clients: Sequence[str], *, base: str | None, raw: bool, key: str | None, strict: bool) -> ModelSource:
    """Where clients' models are."""
    return ModelSource(clients=clients, base=base, raw=raw, key=key, strict=strict)


def aggregate(
    where: ModelSource,
    rule_text: str,
    out: Path,
    *,
    making: Mapping[str, Any],
    page: Path | None,
    calibrate: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Aggregate, write the model, show the verdicts."""
    rule = _rule(rule_text)
    check_output(out, where)
    if page is not None:
        check_page(page, where, out)
    with _checking() as follow_files:
        wanted = page is not None or as_json
        done = run_aggregate(
            where, rule, seed=seed, output=out, checksums=wanted, on_begin=_begin, on_file=follow_files, **making
        )
    # The panel is asked before anything is written: what it stumbles over leaves nothing behind.
    asked = None
    if page or calibrate:
        with _playing() as follow:
            asked = panel_on(done, where, rule, calibrated=calibrate, seed=seed, on_attack=follow)
    if not bool(done.result.accepted.any()):
        raise AuditError("nobody was accepted, so that there is nothing to write: keep the previous model")
    done.save(out)
    written = None if asked is None or page is None else write_audit(asked, page)
    if as_json:
        _doubt(done.doubt, display.err)
        told = {"output": str(out), "report": written and str(written), **done.result.to_json()}
        made = done.made if asked is None else asked.made  # which knows of a calibration
        told |= {"notes": list(done.notes), "made": made and made.to_json()}
        panel = asked and {name: value for name, value in asked.to_json().items() if name != "made"}
        typer.echo(json.dumps({**told, "panel": panel}, indent=1))
    else:
        _doubt(done.doubt, display.out)
        _doubt(done.taken, display.out)
        display.out.print(_result_table(done.result))
        if "norm" in _shown_scores(done.result):
            display.say(_NORM_OF_RULE)
        for line in (*_details(done.result.details), done.result.note, *done.notes):
            if line and line not in _warned(done.doubt, done.taken):
                display.say(line)
        _tell(asked, written)
        display.say(f"Written: {tamed(out)}")
    _leave(bool(done.result.accepted.all()))


def audit(
    where: ModelSource,
    rule_texts: Sequence[str],
    *,
    f: int | None,
    votes: int | None,
    page: Path | None,
    calibrate: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Ask a panel, show the verdicts."""
    rules = [_rule(text) for text in rule_texts]
    if page is not None:
        check_page(page, where)
    with _playing() as follow, _checking() as follow_files:
        found = run_audit(
            where,
            rules,
            f=f,
            votes=votes,
            calibrated=calibrate,
            seed=seed,
            checksums=page is not None or as_json,
            on_attack=follow,
            on_begin=_begin,
            on_file=follow_files,
        )
    written = None if page is None else write_audit(found, page)
    if as_json:
        _doubt(found.doubt, display.err)
        typer.echo(json.dumps({"report": written and str(written), **found.to_json()}, indent=1))
    else:
        _doubt(found.doubt, display.out)
        _doubt(found.taken, display.out)
        display.out.print(_audit_table(found))
        display.say(
            _COLUMNS.format("sent" if found.taken else "changed") + _NO_ANGLE * (found.base == "median-of-clients")
        )
        for line in (*_details(found.details), *found.notes):
            if line not in _warned(found.doubt, found.taken):
                display.say(line)
        _tell(found, written)
    _leave(all(found.accepted))


@contextmanager
def _playing() -> Iterator[OnAttack]:
    """Shows how far a calibration has come, from its first attack on."""
    name = Path("known attacks")
    with ExitStack() as stack:
        progress: JobsProgress | None = None

        def follow(attack: str, played: int) -> None:
            nonlocal progress
            progress = progress or stack.enter_context(JobsProgress({name: (str(name), len(PLAYED))}))
            progress.follow(name, attack, played)

        yield follow


@contextmanager
def _checking() -> Iterator[OnFile]:
    """Shows how many files have their checksum, where that takes longer than anybody waits without a word."""
    name = Path("checksums")
    with ExitStack() as stack:
        progress: JobsProgress | None = None
        since = time.monotonic()

        def follow(done: int, of: int) -> None:
            nonlocal progress, since
            if done == 0:
                since = time.monotonic()
            if progress is None and time.monotonic() - since > _PATIENCE:
                progress = stack.enter_context(JobsProgress({name: (str(name), of)}))
                if not display.err.is_terminal:
                    display.say(f"{name}: {done} of {of} files", display.err)
            if progress is not None:
                progress({name: done})

        yield follow


def _begin(n: int, d: int) -> None:
    """Say what is looked at, before a pass that takes a while."""
    if n * d >= _LONG:
        display.say(f"{n:,} clients of {d:,} entries each are being looked at", display.err)


def _rule(text: str) -> Rule:
    try:
        rule = parse(text, "rule")
    except ValueError as error:
        raise AuditError(f"rule: {error}") from None
    assert isinstance(rule, Rule)
    if rule.traits().root_data:
        raise AuditError(f"{text} judges clients by data of the server's own, which folders of files have not")
    return rule


def _leave(all_accepted: bool) -> None:
    if not all_accepted:
        raise typer.Exit(DROPPED)


def _tell(found: ClientAudit | None, written: Path | None) -> None:
    if found is not None and found.calibration is not None:
        display.out.print(_calibration_table(found))
        display.say(
            "Shares of forged changes that the panel and each of its rules suspect; wrongly: of others, by the panel. "
            "no-attack measures false alarms: nobody forges, so that who is caught in that line is caught wrongly, too."
        )
        if more := of_one_vote(found.calibration):
            display.say(more)
    if written is not None:
        display.say(f"Report: {tamed(written)}")


def _doubt(doubt: str, console: Console) -> None:
    """What may make all of it worthless; on stderr beside JSON, which nobody reads."""
    if doubt:
        display.say(f"Warning: {doubt}", console)


def _warned(doubt: str, taken: str) -> tuple[str, ...]:
    """Notes that stand above the table already."""
    return (doubt, TAKEN_AS_UPDATES) if taken else (doubt,)


def _details(details: Mapping[Any, str]) -> list[str]:
    return [f"{tamed(name)}: {tamed(detail, 2000)}" for name, detail in details.items()]


def _shown_scores(result: Result[Any]) -> list[str]:
    return list(result.scores)[:3]


def _result_table(result: Result[Any]) -> Table:
    """One line a client: weight, verdict, the rule's scores."""
    scores = _shown_scores(result)
    table = _table(["client", "verdict"], ["weight", *scores])
    for i, name in enumerate(result.ids):
        weight = "" if result.weights is None else f"{float(result.weights[i]):.4f}"
        numbers = [_number(float(result.scores[score][i])) for score in scores]
        verdict = Text(str(result.reasons[i]), style="" if result.accepted[i] else "bold red")
        table.add_row(Text(tamed(name)), verdict, weight, *numbers)
    return table


def _audit_table(found: ClientAudit) -> Table:
    """One line a client: verdict, who suspects it, and its length and direction."""
    table = _table(["client", "verdict"], ["votes", "norm", "cosine"], ["suspected by"])
    evidence = found.evidence
    for i, name in enumerate(found.names):
        verdict = Text(found.reasons[i], style="" if found.accepted[i] else "bold red")
        norm = cosine = ""
        if evidence is not None and name in evidence.ids:
            row = evidence.ids.index(name)
            norm, cosine = _number(float(evidence.norms[row])), _cosine(float(evidence.to_median[row]))
        votes = f"{found.votes[i]} of {found.heard}" if found.is_judged(i) else "-"
        table.add_row(Text(tamed(name)), verdict, votes, norm, cosine, Text(", ".join(found.suspected_by(i))))
    return table


def _calibration_table(found: ClientAudit) -> Table:
    """What the panel would have caught of known attacks, rule by rule."""
    assert found.calibration is not None
    ideas = [opinion.member.idea for opinion in found.opinions]
    table = _table(["attack played here"], ["caught", "wrongly", *ideas])
    # Eighty columns are enough for the five ideas of the panel, with one space between them instead of three.
    table.padding = 0
    for caught in found.calibration.attacks:
        shares = [display.percent(share, 0) for share in caught.by_rule]
        together = display.percent(caught.together, 0), display.percent(caught.wrongly_together, 0)
        table.add_row(caught.attack, *together, *shares)
    return table


def _table(texts: Sequence[str], numbers: Sequence[str], last: Sequence[str] = ()) -> Table:
    """A table in which nothing is cut: where there is no room, the widest columns, of long names, go on below.

    A verdict is one word, which is looked for, and never broken.
    """
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for heading in texts:
        table.add_column(heading, overflow="fold", no_wrap=heading == "verdict")
    for heading in numbers:
        table.add_column(heading, justify="right", overflow="fold")
    for heading in last:
        table.add_column(heading, overflow="fold")
    return table


def _number(value: float) -> str:
    return "" if value != value else f"{value:.4g}"


def _cosine(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"
