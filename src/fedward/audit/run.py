"""From the arguments of a command to what came of it; files that change meanwhile are left out, and all begins anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from ..core import BoundError, Context, Reason, Result, Rule, step
from ..failures import tamed
from ..registry.component import components_within
from ..registry.notation import describe
from ..registry.parameters import check_value
from ..stack import CENTRES, Policy, RowsLostError, SqNorms, lost_clients
from ..stack.written import WRITTEN, save_tensors
from .calibrate import OnAttack
from .client_audit import ClientAudit
from .clients import AuditError
from .formats import CHANGED, Contents
from .gather import ClientModels, gather
from .lowrank import LowRank
from .made import Made, OnFile, files_read, made_now
from .notes import doubt_of_base, found_notes, notes_on_accepted, taken_for_updates, telling
from .output import Merge, NewAdapter, aggregate_adapters, write_adapter
from .panel import members_of, usual_panel, verdict_of
from .source import ModelSource
from .statistics import statistics_notes
from .verdicts import Ruling, audit_of, describe_nonfinite, unusable_in

_TIMES = 5
"""How often clients that change their files may make all begin anew."""

_LEAST_LOST = 5e-5
"""What is lost of a square that is told, as 0.01 %: below are what rounding leaves of adapters that fit."""

_NAMED = 5
"""Clients that an error names."""

OnBegin = Callable[[int, int], None]
"""Told how many clients there are, and of how many entries each, before they are looked at."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Aggregated:
    """What came of an aggregation: the verdicts, and the model to write.

    ``doubt`` is why the base may not be what clients started from, and the first of ``notes``; "" without a doubt.
    ``taken`` warns that what was sent is taken as updates though it may be whole models; "" without cause.
    """

    gathered: ClientModels
    result: Result[Tensor]
    adapter: NewAdapter | None = None
    doubt: str = ""
    taken: str = ""
    notes: Sequence[str] = field(default=())
    made: Made | None = None

    def save(self, output: Path) -> None:
        """Write the model: a file in the format of its suffix, or an adapter's folder.

        Raises:
            AuditError: it cannot be written so.
            OSError: it cannot be written.
        """
        place = os.path.realpath(output)
        if place in map(os.path.realpath, self.gathered.read_from):
            raise AuditError(f"{tamed(output)} is a client's: name another file to write")
        base: Contents | None = self.gathered.base
        bases = [*self.gathered.found.bases, *(base.stamps if base else ())]
        if place in map(os.path.realpath, bases):
            raise AuditError(f"{tamed(output)} is the base's: name another file to write")
        if self.adapter is not None:
            if output.suffix in WRITTEN:
                named, folder = tamed(output.name), tamed(output.with_suffix(""))
                raise AuditError(f"an adapter is a folder, and {named} is the name of a file: -o {folder}")
            write_adapter(output, self.adapter)
            return
        try:
            save_tensors(output, self.result.state_dict(), {} if base is None else base.metadata)
        except ValueError as error:
            raise AuditError(str(error)) from None


def run_audit(
    source: ModelSource,
    rules: Sequence[Rule] = (),
    *,
    f: int | None = None,
    votes: int | None = None,
    calibrated: bool = False,
    seed: int = 0,
    checksums: bool = False,
    on_attack: OnAttack | None = None,
    on_begin: OnBegin | None = None,
    on_file: OnFile | None = None,
) -> ClientAudit:
    """Ask a panel of rules about clients' files.

    Args:
        source: the files.
        rules: the panel; five rules with different ideas if none is given.
        f: byzantine clients that the usual panel's rules are told.
        votes: how many rules must suspect a client; two of five if None.
        calibrated: whether to play known attacks on what was accepted.
        seed: of everything random.
        checksums: whether to read all files once more, so that it is on record which they were.
        on_attack: told of the attacks that are played.
        on_begin: told of how many clients and entries, before the first long pass over them.
        on_file: told of how many files have their checksum.

    Raises:
        AuditError: nothing can be audited; see `gather`; ``f`` beside rules that are named; or a plain function among
            them, which says nothing of single clients.
    """
    if rules and f is not None:
        raise AuditError("--f is told to the usual panel; rules that are named have it in their own text, krum:f=3")
    try:
        named = members_of(rules)
    except ValueError as error:
        raise AuditError(str(error)) from None

    def work(gathered: ClientModels) -> ClientAudit:
        made = made_now(source, "audit", *_audit_words(rules, f=f, votes=votes, calibrated=calibrated, seed=seed))
        if on_begin is not None:
            on_begin(gathered.stack.n, gathered.stack.d)
        members = named or usual_panel(gathered.stack.n, f)
        found = audit_of(
            gathered,
            members,
            base=source.base_name,
            seed=seed,
            votes=votes,
            calibrated=calibrated,
            on_attack=on_attack,
            usual=not rules,
            options=telling(rules),
        )
        files = files_read(gathered, on_file) if checksums else ()
        notes = (*found.notes, *statistics_notes(gathered.stack, None))
        return replace(found, notes=notes, made=replace(made, files=files))

    return _while_unchanged(source, work)


def run_aggregate(
    source: ModelSource,
    rule: Rule,
    *,
    seed: int = 0,
    rank: int | None = None,
    merge: Merge = "svd",
    batch_norm: Policy = "robust",
    output: Path | None = None,
    checksums: bool = False,
    on_begin: OnBegin | None = None,
    on_file: OnFile | None = None,
) -> Aggregated:
    """Aggregate clients' files by a rule.

    Args:
        source: the files.
        rule: the rule.
        seed: of everything random.
        rank, merge: of adapters, see `aggregate_adapters`.
        batch_norm: what becomes of running statistics, which no rule judges: "robust", the median of each entry over
            all usable clients, whoever the rule accepted, and no farther from the base's than the bound of
            `fedward.stack.median_of_running`, without one if there is no base; "mean", of accepted clients; or
            "frozen", the base's.
        output: what is going to be written, for the record of how it was made.
        checksums, on_begin, on_file: see `run_audit`.

    Raises:
        AuditError: nothing can be aggregated; see `gather`; or "frozen" without a base.
        BoundError: too few usable clients for the rule.
    """

    check_value("run_aggregate", "batch_norm", batch_norm, Policy)
    settings = {"rule": describe(rule), "seed": seed, "rank": rank, "merge": merge, "batch_norm": batch_norm}

    def work(gathered: ClientModels) -> Aggregated:
        made = made_now(source, "aggregate", [*_options(settings), *_options({"out": output})], settings)
        stack, context = gathered.stack, Context(seed=seed)
        if on_begin is not None:
            on_begin(stack.n, stack.d)
        adapter = None
        notes: list[str] = []
        if isinstance(stack, LowRank):
            result, adapter = aggregate_adapters(rule, stack, context, rank, merge)
            if adapter.lost >= _LEAST_LOST:
                notes.append(_no_room(adapter))
        else:
            if rank is not None or merge != "svd":
                raise AuditError("--rank and --merge are for adapters, and these are whole models: leave them out")
            result = step(rule, stack, {}, context).result
            if result.weights is None:  # of a rule that works on columns: in how many each client was trimmed
                result = replace(result, scores=verdict_of(rule, stack, context).scores)
        doubt = doubt_of_base(gathered)  # after the rule, which may have read what this needs
        accepted = dict(zip(map(str, result.ids), map(bool, result.accepted), strict=True))
        centred = gathered.base is None and source.base_name in CENTRES
        turned = notes_on_accepted(gathered, accepted, rule, centred=centred)
        notes = [*turned, *notes, *statistics_notes(stack, batch_norm), *found_notes(gathered)]
        notes = [doubt, *notes] if doubt else notes
        return Aggregated(
            gathered=gathered,
            result=_told(result, gathered),
            adapter=adapter,
            doubt=doubt,
            taken=taken_for_updates(gathered),
            notes=notes,
            made=replace(made, files=files_read(gathered, on_file) if checksums else ()),
        )

    def told(gathered: ClientModels) -> Aggregated:
        try:
            return work(gathered)
        except BoundError as error:
            raise BoundError(_too_few(str(error), rule, gathered)) from None

    return _while_unchanged(source, told, batch_norm)


def panel_on(
    aggregated: Aggregated,
    source: ModelSource,
    rule: Rule,
    *,
    calibrated: bool = False,
    seed: int = 0,
    on_attack: OnAttack | None = None,
) -> ClientAudit:
    """What a panel says of clients that were aggregated, beside the rule that did: for the page about them."""
    members = (*members_of([rule], votes=False), *usual_panel(aggregated.gathered.stack.n))
    audit = audit_of(
        aggregated.gathered,
        members,
        base=source.base_name,
        seed=seed,
        calibrated=calibrated,
        decided=Ruling(rule=rule, result=aggregated.result),
        usual=True,
        on_attack=on_attack,
        options=source.audit_telling,
    )
    made = aggregated.made
    if made is not None and calibrated:
        settings = made.settings | {"calibrate": True}
        made = replace(made, command=f"{made.command} --calibrate", settings=settings)
    return replace(audit, notes=tuple(dict.fromkeys((*audit.notes, *aggregated.notes))), made=made)


def _audit_words(
    rules: Sequence[Rule], *, f: int | None, votes: int | None, calibrated: bool, seed: int
) -> tuple[list[str], dict[str, Any]]:
    """What an audit is told, as words of its command and by name."""
    named = [describe(rule) for rule in rules]
    words = [word for rule in named for word in ("--rule", rule)]
    words += [*_options({"f": f, "votes": votes, "seed": seed}), *["--calibrate"] * calibrated]
    return words, {"rules": named, "f": f, "votes": votes, "seed": seed, "calibrate": calibrated}


def _options(given: Mapping[str, object]) -> list[str]:
    """Options of a command by their names, those that were given."""
    return [
        word
        for name, value in given.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]


def _no_room(adapter: NewAdapter) -> str:
    """What is lost of the layer that loses most, by its length rather than its square: that is what an error is of."""
    return (
        f"rank {adapter.settings['r']} has no room for all that clients changed: the layer that loses most is off by "
        f"{adapter.lost**0.5:.1%} of its change; a larger --rank loses less"
    )


def _while_unchanged(source: ModelSource, work: Callable[[ClientModels], T], batch_norm: Policy = "robust") -> T:
    """What comes of the files if they stay as they are; clients whose files do not are left out."""
    left_out: dict[str, str] = {}
    for _ in range(_TIMES):
        gathered = gather(
            source.clients,
            base=source.base,
            raw=source.raw,
            key=source.key,
            leave_out=left_out,
            batch_norm=batch_norm,
        )
        try:
            _check_strict(source, gathered)
            done = work(gathered)
            changed = [*gathered.changed(), *map(str, lost_clients(gathered.stack))]
        except RowsLostError as error:
            done, changed = None, [str(error.stack.ids[row]) for row in error.rows]
        if done is not None and not changed:
            return done
        left_out |= dict.fromkeys(changed, CHANGED)
    raise AuditError(f"files of {', '.join(map(tamed, left_out))} change while they are read: take copies of them")


def _check_strict(source: ModelSource, gathered: ClientModels) -> None:
    if not source.strict:
        return
    bad = [f"client {tamed(name)}: {why}" for name, why in gathered.malformed.items()]
    finite = gathered.stack.compute(SqNorms())[0].isfinite().tolist()
    for name, sound in zip(gathered.stack.ids, finite, strict=True):
        if not sound:
            bad.append(f"client {tamed(name)}: {describe_nonfinite(gathered, name)}")
    if bad:
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise AuditError(f"{'; '.join(bad[:_NAMED])}{more} (--strict)")


def _too_few(said: str, rule: Rule, gathered: ClientModels) -> str:
    """Why a rule could not decide, in its own words: rules as they are typed, and who cannot be used, each with why."""
    bad = [f"client {tamed(name)}: {why}" for name, (_, why) in unusable_in(gathered).items()]
    usable = len(gathered.names) - len(bad)
    if bad and usable:
        try:
            rule.check(usable)
        except BoundError as error:
            more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            of = f"{len(bad)} of {len(gathered.names)} cannot be used"
            said = f"{error}; {of}: {'; '.join(bad[:_NAMED])}{more}"
    for part in sorted(components_within(rule), key=lambda part: len(repr(part)), reverse=True):
        said = said.replace(repr(part), describe(part))
    return said


def _told(result: Result[Tensor], gathered: ClientModels) -> Result[Tensor]:
    """The result with a sentence on each row that is not finite."""
    details: dict[Hashable, str] = {
        name: describe_nonfinite(gathered, name)
        for name, reason in zip(result.ids, result.reasons, strict=True)
        if reason is Reason.NONFINITE
    }
    return replace(result, details={**result.details, **details})
