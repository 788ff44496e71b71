"""From the arguments of a command to what came of it; files that change meanwhile are left out, and all begins anew."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from ..core import BoundError, Context, Reason, Result, Rule, step
from ..disk import check_folder
from ..failures import no_page, tamed
from ..registry.component import components_within
from ..registry.notation import describe
from ..registry.parameters import check_value
from ..stack import CENTRES, Policy, RowsLostError, SqNorms, lost_clients
from ..stack.entries import UnfitError
from ..stack.written import WRITTEN, save_tensors
from .calibrate import OnAttack
from .clients import AuditError, Place, find_clients, is_adapter, lies_among
from .formats import CHANGED, Contents, read_contents
from .gather import ClientModels, gather
from .lowrank import LowRank
from .notes import TAKEN_AS_UPDATES, doubt_of_base, telling
from .output import Merge, NewAdapter, aggregate_adapters, write_adapter
from .panel import PanelMember, members_of, usual_panel, verdict_of
from .statistics import statistics_notes
from .verdicts import ClientAudit, audit_of, describe_nonfinite, unusable_in

_TIMES = 5
"""How often clients that change their files may make all begin anew."""

_LEAST_LOST = 5e-5
"""What is lost of a square that is told, as 0.01 %: below are what rounding leaves of adapters that fit."""

_NAMED = 5
"""Clients that an error names."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where clients' models are, and how they are read; see `gather`."""

    clients: Sequence[str | os.PathLike[str]]
    base: str | os.PathLike[str] | None = None
    raw: bool = False
    key: str | None = None
    strict: bool = False
    """Whether a client of whom nothing can be used is an error."""

    def audit_telling(self, f: int) -> str:
        """The command that audits the same clients, with rules that are told of so many byzantine ones."""
        words = ["fedward", "audit", *(os.fspath(client) for client in self.clients)]
        for option, value in (("--base", self.base), ("--key", self.key)):
            words += [] if value is None else [option, os.fspath(value)]
        words += ["--raw"] * self.raw + ["--f", str(f)]
        return tamed(shlex.join(words), 1000)

    @property
    def base_name(self) -> str:
        """What the base is called."""
        return "" if self.base is None else tamed(os.fspath(self.base))

    @property
    def base_path(self) -> Path | None:
        """Where the base is; None if there is none, or it is a centre of the clients."""
        return None if self.base is None or str(self.base) in CENTRES else Path(self.base)


@dataclass(frozen=True, kw_only=True, eq=False)
class Aggregated:
    """What came of an aggregation: the verdicts, and the model to write.

    ``doubt`` is why the base may not be what clients started from, and the first of ``notes``; "" without a doubt.
    """

    gathered: ClientModels
    result: Result[Tensor]
    adapter: NewAdapter | None = None
    doubt: str = ""
    notes: Sequence[str] = field(default=())

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
    on_attack: OnAttack | None = None,
) -> ClientAudit:
    """Ask a panel of rules about clients' files.

    Args:
        source: the files.
        rules: the panel; five rules with different ideas if none is given.
        f: byzantine clients that the usual panel's rules are told.
        votes: how many rules must suspect a client; two of five if None.
        calibrated: whether to play known attacks on what was accepted.
        seed: of everything random.
        on_attack: told of the attacks that are played.

    Raises:
        AuditError: nothing can be audited; see `gather`; or ``f`` beside rules that are named.
    """
    if rules and f is not None:
        raise AuditError("--f is told to the usual panel; rules that are named have it in their own text, krum:f=3")

    def work(gathered: ClientModels) -> ClientAudit:
        members = _panel(rules, gathered, f)
        found = audit_of(
            gathered,
            members,
            base=source.base_name,
            seed=seed,
            votes=votes,
            calibrated=calibrated,
            on_attack=on_attack,
            options=telling(rules),
        )
        return replace(found, notes=(*found.notes, *statistics_notes(gathered.stack, None)))

    return _while_unchanged(source, work)


def run_aggregate(
    source: ModelSource,
    rule: Rule,
    *,
    seed: int = 0,
    rank: int | None = None,
    merge: Merge = "svd",
    batch_norm: Policy = "robust",
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

    Raises:
        AuditError: nothing can be aggregated; see `gather`; or "frozen" without a base.
        BoundError: too few usable clients for the rule.
    """

    check_value("run_aggregate", "batch_norm", batch_norm, Policy)

    def work(gathered: ClientModels) -> Aggregated:
        stack, context = gathered.stack, Context(seed=seed)
        adapter = None
        notes = [*gathered.remarks]
        notes += [TAKEN_AS_UPDATES] if gathered.assumed else []
        if isinstance(stack, LowRank):
            result, adapter = aggregate_adapters(rule, stack, context, rank, merge)
            if adapter.lost >= _LEAST_LOST:
                notes.append(
                    f"rank {adapter.settings['r']} has no room for {adapter.lost:.2%} of a layer's square at most"
                )
        else:
            if rank is not None or merge != "svd":
                raise AuditError("--rank and --merge are for adapters, and these are whole models: leave them out")
            result = step(rule, stack, {}, context).result
            if result.weights is None:  # of a rule that works on columns: in how many each client was trimmed
                result = replace(result, scores=verdict_of(rule, stack, context).scores)
        notes += statistics_notes(stack, batch_norm)
        doubt = doubt_of_base(gathered)  # after the rule, which may have read what this needs
        notes = [doubt, *notes] if doubt else notes
        return Aggregated(gathered=gathered, result=_told(result, gathered), adapter=adapter, doubt=doubt, notes=notes)

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
    members = (*members_of([rule]), *usual_panel(aggregated.gathered.stack.n))
    weights = aggregated.result.weights
    audit = audit_of(
        aggregated.gathered,
        members,
        base=source.base_name,
        seed=seed,
        calibrated=calibrated,
        weights=weights,
        on_attack=on_attack,
        options=source.audit_telling,
    )
    result = aggregated.result
    notes = (f"verdicts are those of {describe(rule)}", *audit.notes, *aggregated.notes)
    unaccepted = [name for name, ok in zip(audit.names, result.accepted, strict=True) if not ok]
    told = {name: audit.details[name] for name in unaccepted if name in audit.details}
    # The verdict is the rule's; the panel's votes stand beside it.
    return replace(
        audit,
        accepted=tuple(bool(ok) for ok in result.accepted),
        reasons=tuple(map(str, result.reasons)),
        details={**told, **{str(name): detail for name, detail in result.details.items()}},
        notes=tuple(dict.fromkeys(notes)),
    )


def check_output(output: Path, source: ModelSource | None = None) -> None:
    """Refuse before any work what could not be written after it, or would replace the base or become a client.

    Raises:
        AuditError: a format that is not written, a folder that is not there, the base, or a place among the clients.
    """
    known = not output.suffix or output.suffix in WRITTEN
    if not known and (source is None or not _of_adapters(source)):  # adapters' folder may be called anything: llama-3.1
        raise AuditError(f"{tamed(output)}: the output is one of {', '.join(WRITTEN)}, or of adapters a new folder")
    if not output.absolute().parent.is_dir():
        raise AuditError(f"{tamed(output)}: there is no folder {tamed(output.parent)}; make it first")
    if source is None:
        return
    base = source.base_path
    if base is not None and os.path.realpath(output) == os.path.realpath(base):
        raise AuditError(f"{tamed(output)} is the base: name another file to write")
    if not os.path.lexists(output) and any(lies_among(output, argument) for argument in source.clients):
        raise AuditError(
            f"{tamed(output)} lies among the clients, so that the next audit would take it for one: write it elsewhere"
        )


def _of_adapters(source: ModelSource) -> bool:
    """Whether it is an adapter that will be written: what the base is, or else most clients sent that can be read.

    Of what is not there this is true, too: whoever reads it says so.
    """
    if source.base_path is not None:
        return is_adapter(source.base_path) or not os.path.lexists(source.base_path)
    places = find_clients(source.clients).places
    if not any(is_adapter(place.path) for place in places):
        return not any(os.path.lexists(place.path) for place in places)
    kinds = [is_adapter(place.path) for place in places if _is_read(place, source.key)]
    return 2 * sum(kinds) > len(kinds) or not kinds


def _is_read(place: Place, key: str | None) -> bool:
    try:
        read_contents(place, key, keep=False)
    except UnfitError:
        return False
    return True


def check_page(page: Path, source: ModelSource, output: Path | None = None) -> None:
    """Refuse before any work a page that could not be written after it, or would replace what is read or written.

    Raises:
        AuditError: it is a folder, a client's, the base, the model that is to be written, or of another format.
        NoFolderError: its folder is not there.
    """
    check_folder(page)
    if why := no_page(page):
        raise AuditError(why)
    if page.is_dir():
        raise AuditError(f"{tamed(page)} is a folder: name a file to write, such as {tamed(page / 'audit.html')}")
    place = os.path.realpath(page)
    if output is not None and place == os.path.realpath(output):
        raise AuditError(f"{tamed(page)}: the model is written there; name another file for the page")
    base = source.base_path
    if base is not None and place == os.path.realpath(base):
        raise AuditError(f"{tamed(page)} is the base: name another file for the page")
    if place in {os.path.realpath(client.path) for client in find_clients(source.clients, besides=base).places}:
        raise AuditError(f"{tamed(page)} is a client's: name another file for the page")


def _panel(rules: Sequence[Rule], gathered: ClientModels, f: int | None) -> tuple[PanelMember, ...]:
    return members_of(rules) if rules else usual_panel(gathered.stack.n, f)


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
