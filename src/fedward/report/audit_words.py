"""What an audit's page says in words: what reasons mean, how it is read, what its panel would have caught besides."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..audit import Calibration, ClientAudit
from ..audit.made import Made
from ..core import Reason
from ..failures import tamed
from .pieces import NONE, breakable, count, table
from .series import share_text

NOBODY = "no-attack"
"""The attack of a calibration in which nobody forges."""
MEANINGS = {
    "malformed": "its files cannot be read, or hold something else than the model",
    "nonfinite": "what it sent has NaN or Inf",
    "overflow": "its numbers are too large to be judged",
    "not-judged": "there is nobody whom rules could hold it against",
    "sign-outlier": "its shares of positive and negative entries are not those of others",
    "direction-outlier": "it points elsewhere than the larger group of clients",
    "norm-too-large": "it changed far more than others",
    "norm-too-small": "it changed far less than others",
    "spectral-outlier": "it lies far out in the direction in which clients differ most",
    "far": "it is farther from its nearest others than they are from each other",
    "outvoted": "its entries are not those that most clients sent",
    "not-selected": "the rule takes few clients, and took others",
}
"""What reasons mean, one line each."""
IDEAS = {
    "norm": "did it change about as much as the others?",
    "sign": "are as many of its entries above and below zero as of the others'?",
    "distance": "is it near to its nearest others, as they are to each other?",
    "spectral": "does it lie far out in the one direction in which clients differ most?",
    "clustering": "does it point where the larger group of clients points?",
}
"""What each rule of the usual panel asks about a client, in plain words."""


def meanings(audit: ClientAudit) -> str:
    """What the reasons that occur mean, as a list: of verdicts, and of rules that suspect somebody."""
    found = set(audit.reasons)
    for opinion in audit.opinions:
        if opinion.verdict is not None:
            found |= {str(opinion.verdict.reasons[i]) for i in range(len(audit.names)) if bool(opinion.suspects[i])}
    meant = dict(MEANINGS)
    if any(map(audit.was_given, range(len(audit.names)))):
        meant[Reason.NOT_JUDGED] = "the rule is or has a plain function, which says nothing of single clients"
    told = "".join(f"<li><b>{escape(word)}</b>: {escape(meant[word])}</li>" for word in meant if word in found)
    return f"<ul>{told}</ul>\n" if told else ""


def how_to_read(audit: ClientAudit) -> str:
    """For whoever reads such a page for the first time: what was looked at, and what a verdict is worth."""
    changed = "changed of the model that they started from" if audit.base else "sent"
    other = "a rule that somebody named"
    asked = [
        (o.member.idea, IDEAS.get(o.member.idea, other) if o.member.votes else "the rule that decided; it has no vote")
        for o in audit.opinions
    ]
    ideas = "".join(f"<li><b>{escape(tamed(idea))}</b>: {escape(question)}</li>" for idea, question in asked)
    terms = (
        ("norm", f"how much a client {'changed' if audit.base else 'sent'} in all: the length of its change."),
        (
            "cosine",
            "in which direction, beside the others: 1 is the same direction, 0 has nothing in common with it, "
            "below 0 is turned against it.",
        ),
        ("vote", f"of a rule: that it suspects the client. {_decides(audit)}"),
    )
    words = "".join(f"<li><b>{term}</b>: {said}</li>" for term, said in terms)
    return (
        "<h2>How to read this</h2>\n"
        '<p class="note"><b>What is found is a suspicion with its evidence, and no proof.</b> Honest clients with rare '
        "data look like liars to every rule, and a liar who keeps near to the others looks honest. Ask a client what "
        "it trained on before you act on this page.</p>\n"
        f"<p>Rules hold against each other what clients {changed}; nobody sees their data. Words of this page:</p>\n"
        f"<ul>{words}</ul>\n<p>What each rule asks about a client:</p>\n<ul>{ideas}</ul>\n"
    )


def _decides(audit: ClientAudit) -> str:
    """What it takes for a client not to be accepted."""
    suspects = f"{count(audit.needed, 'rule')} or more of {audit.heard} suspect it"
    if audit.rule:
        rule = f"<code>{escape(tamed(audit.rule))}</code>"
        return (
            f"A client is dropped if {rule} drops it, or if its files cannot be used. The votes of the panel "
            f"stand beside that and decide nothing here: the panel by itself suspects a client if {suspects}."
        )
    return f"A client is not accepted if {suspects}, or if its files cannot be used."


def clients_caption(audit: ClientAudit) -> str:
    """What stands below the table of clients."""
    return (
        f"{_decides(audit)} Cosines are to the median of each entry over all clients, and to the aggregate; the "
        "nearest is the client whose change is most alike, with the cosine between them."
    )


def beside_panel(audit: ClientAudit, i: int) -> str:
    """Whether the panel agrees with the rule that decided about a client, and how it does not."""
    panel = audit.by_panel[i]
    if panel is None:
        return "cannot judge"
    if panel == audit.accepted[i] and not audit.was_given(i):
        return "agrees"
    if panel:
        return "<b>accepts it</b>"
    return f"<b>suspects it</b><small>{escape(', '.join(map(tamed, audit.suspected_by(i))))}</small>"


def not_accepted(audit: ClientAudit, members: Sequence[str] | None = None) -> str:
    """How many clients, or how many of some, were not accepted: a rule drops them, a panel suspects them."""
    names = audit.names if members is None else members
    reason = dict(zip(audit.names, audit.reasons, strict=True))
    out = [name for name in names if name in set(audit.dropped)]
    if audit.rule:
        return dropped_told(len(out), sum(reason[name] == Reason.NOT_JUDGED for name in names))
    suspected = sum(reason[name] not in ("malformed", "nonfinite", "overflow", "not-judged") for name in out)
    told = [f"{suspected or 'nobody'} suspected"]
    if unusable := sum(reason[name] in ("malformed", "nonfinite", "overflow") for name in out):
        told.append(f"{unusable} unusable")
    if unjudged := sum(reason[name] == "not-judged" for name in out):
        told.append(f"{unjudged} not judged")
    return ", ".join(told)


def dropped_told(dropped: int, unjudged: int) -> str:
    """How many clients a rule dropped, and how many it was given and says nothing of."""
    told = [f"{dropped or 'nobody'} dropped"] if dropped or not unjudged else []
    return ", ".join([*told, *([f"{unjudged} not judged"] if unjudged else [])])


def of_one_vote(found: Calibration) -> str:
    """What would have been caught had one rule been enough, and who wrongly; "" where that is nothing more."""
    missed = [each for each in found.attacks if each.attack != NOBODY and each.by_any > each.together]
    if not missed:
        return ""
    named = ", ".join(f"{m.attack} {share_text(m.by_any)} (not {share_text(m.together)})" for m in missed)
    wrongly = max(each.by_any if each.attack == NOBODY else each.wrongly_by_any for each in found.attacks)
    return (
        f"If one rule were enough (fedward audit --votes 1), more would have been caught: {named}; and of the others "
        f"up to {share_text(wrongly)} wrongly. Each attack was played once, by {found.forgers} clients beside "
        f"{found.honest}."
    )


def how_made(made: Made) -> str:
    """When, by what and from which files a page was made, so that it can be made again and be held against files."""

    def shown(value: object) -> str:
        if isinstance(value, list):
            return ", ".join(map(shown, value)) or NONE
        if value is None:
            return NONE
        return ("yes" if value else "no") if isinstance(value, bool) else escape(tamed(value, 1000))

    told = made.to_json()
    facts = {
        "When": told["when"].replace("T", " ").replace("Z", " UTC"),
        "fedward": told["fedward"],
        "Folder": told["folder"],
        "Base": told["base"],
    }
    rest = {name: told[name] for name in ("key", "raw", "strict", *made.settings)}
    rows = [[f"<b>{escape(name)}</b>", shown(value)] for name, value in {**facts, **rest}.items()]
    command = tamed(made.command, 20_000)
    return (
        "<h2>How this was made</h2>\n"
        f'<p>The command: <code style="overflow-wrap:anywhere">{breakable(command)}</code></p>\n'
        f"{table(['What', 'As it was asked for'], rows, 2)}{_files(made)}"
    )


def _files(made: Made) -> str:
    if not made.files:
        return ""
    rows = []
    for each in made.files:
        client = "<i>the base</i>" if each.client is None else escape(tamed(each.client))
        size = NONE if each.bytes is None else f"{each.bytes:,}"
        digest = f'<code style="overflow-wrap:anywhere">{each.sha256}</code>' if each.sha256 else escape(each.why)
        rows.append([client, breakable(tamed(each.path, 1000)), digest, size])
    return (
        f"<h3>{count(len(rows), 'file')}</h3>\n{table(['Client', 'File', 'SHA-256', 'Bytes'], rows, 3, 'wide')}"
        '<p class="caption">The files as they were judged. sha256sum FILE says whether one still is the same.</p>\n'
    )
