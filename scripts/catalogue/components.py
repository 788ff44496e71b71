"""A section for each component: what the registry, its docstring and the committed results say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import fedward as fw
from fedward.core import Compound, reads
from fedward.registry.component import Component
from fedward.registry.entries import Entry
from fedward.registry.notation import short_for

from . import evidence
from .markdown import paragraph, prose, table

DOCS = Path(__file__).parents[2] / "docs"
_EVERYWHERE = {
    "f": "byzantine clients that a round may have: how many, or a share of its rows",
    "classes": "how many; of the data, where they are known",
    "shape": "of a sample; of the data, where they are known",
    "vocabulary": "how many tokens there are; of the data, where they are known",
    "path": "the folder that the data are in",
    "download": "whether to fetch what is not there",
}
"""What parameters of these names are, wherever a docstring leaves it at that."""
_CLAIMS = {
    "breakdown": "colluders up to its bound leave the output near the others, whatever they send",
    "mean": "equals Mean for f = 0",
    "box": "stays within the range of each column",
    "unanimity": "keeps what all rows agree on",
    "permutation": "the order of clients does not matter",
    "translation": "moves along with the rows",
    "scale": "scales along with the rows",
    "rotation": "turns along with the rows",
    "columns": "the order of columns does not matter",
}
_ROOMS = ("rules", "mixers", "attacks", "clients", "data", "models", "sim", "training")
"""The public modules that have components."""
_STATISTICS = {
    "norms": "lengths",
    "gram": "inner products of all pairs",
    "concordance": "agreement in signs of all pairs",
}
_CLIENTS = 50  # of which a page says how many may be byzantine at most
_KINDS = {  # how the red team calls searches
    "maximise": ("adaptive std", "adaptive unit", "adaptive sign", "adaptive ipm", "adaptive scaling"),
    "deviation": ("adaptive std", "adaptive unit", "adaptive sign"),
}
GROUPS = (
    "Column by column",
    "By pairs of clients",
    "By lengths and signs",
    "By what clients sent before",
    "By data of the server's own",
    "Made of other rules",
)


def group(entry: Entry) -> str:
    """Which of `GROUPS` a rule is in."""
    rule = entry.build()
    traits, read = rule.traits(), set(reads(rule))
    if traits.root_data:
        return GROUPS[4]
    if isinstance(rule, Compound):
        return GROUPS[5]
    if traits.by_client and traits.history:
        return GROUPS[3]
    if "signs" in read or read == {"norms"}:
        return GROUPS[2]
    return GROUPS[1] if "gram" in read else GROUPS[0]


def compares_pairs(entry: Entry) -> bool:
    """Whether it makes matrices of n x n: from rows at once, or from what it remembers of clients."""
    of_rows = bool({"gram", "concordance"} & {*reads(entry.build())})
    return of_rows or (entry.history and not entry.root_data and "n^2" in entry.complexity)


def needs(entry: Entry) -> list[str]:
    """What it must be given besides rows."""
    traits = entry.build().traits()
    found = {
        "f": entry.needs_f,
        "memory of clients": traits.history and traits.by_client,
        "memory": traits.history and not traits.by_client,
        "clients by id": traits.by_client and not traits.history,
        "root data": traits.root_data,
        "alarms": traits.hears_alarms,
    }
    return [name for name, needed in found.items() if needed]


def bound(entry: Entry) -> str:
    """The fewest clients."""
    by_definition = f" (by definition {entry.definition})" if entry.definition else ""
    return f"{entry.bound}{by_definition}"


def section(entry: Entry) -> str:
    """The section of any component."""
    doc = entry.doc
    parts = [f"### `{entry.name}`", prose(doc.summary)]
    if doc.use:
        words = "Shows" if entry.kind == "attack" else "Use it when"
        parts.append(f"**{words}** {prose(doc.use)}")
    parts += map(paragraph, doc.details)
    first, *facts = [(name, text) for name, text in _facts(entry).items() if text]
    parts.append(table(first, facts))
    if entry.arguments:
        parts.append(_parameters(entry))
    if (found := _evidence(entry)) is not None:
        parts.append(f"**{found[0]}**\n\n{found[1]}")
    return "\n\n".join(parts)


def _facts(entry: Entry) -> dict[str, str]:
    facts = {"As text": f"`{_as_text(entry)}`"}
    facts["Short for it"] = "; ".join(f"`{alias}` is `{text}`" for alias, text in short_for(entry).items())
    facts["In Python"] = _place(entry)
    facts["Paper"] = "" if entry.paper == "-" else entry.paper
    if entry.kind == "rule":
        facts |= _facts_of_rule(entry)
    elif entry.kind == "mixer":
        facts |= _facts_of_mixer(entry)
    elif entry.kind == "attack":
        facts |= _facts_of_attack(entry)
    return facts


def _as_text(entry: Entry) -> str:
    """The shortest text that makes it."""
    needed = {name for name, default in entry.arguments.items() if default is ...}
    given = [f"{name}={_shown(value)}" for name, value in entry.example.items() if name in needed]
    return f"{entry.name}:{','.join(given)}" if given else entry.name


def _place(entry: Entry) -> str:
    """How Python calls it, with a link to where its interface is described."""
    for room in _ROOMS:
        module = import_module(f"fedward.{room}")
        for name in module.__all__:
            if getattr(module, name) is entry.cls:
                return f"[`fedward.{room}.{name}`](../api/{room}.md#fedward.{room}.{name})"
    maker = {"data set": "load", "model": "build_model"}[entry.kind]
    return f"""`fedward.sim.{maker}("{entry.name}")`"""


def _facts_of_rule(entry: Entry) -> dict[str, str]:
    rule = entry.build()
    traits = rule.traits()
    declared = traits.bound
    most = (_CLIENTS - declared.plus) // declared.per_f if declared.per_f else None
    passes = "one and more for each client" if traits.passes is None else f"{traits.passes} over the data at most"
    return {
        "Clients": bound(entry) + (f"; of {_CLIENTS} clients f is at most {most}" if most is not None else ""),
        "Needs": ", ".join(needs(entry)) or "nothing besides rows",
        "Reads": _read(entry),
        "Passes": passes,
        "Time": entry.complexity,
        "Memory": _memory(entry),
        "Filter": f"`{entry.name} >> median`: drops clients, so that it can stand before another rule"
        if traits.selects and not traits.server_rows
        else "",
        "Tested claims": "; ".join(text for claim, text in _CLAIMS.items() if claim in traits.properties),
    }


def _read(entry: Entry) -> str:
    return ", ".join(_STATISTICS.get(name, name) for name in reads(entry.build()))


def _memory(entry: Entry) -> str:
    pairs = "n x n, of pairs of clients" if compares_pairs(entry) else "nothing by pairs of clients"
    if entry.build().traits().in_memory:
        pairs = f"the whole stack; {pairs}"
    measured = _measured(entry.name) + _with_many(entry.name)
    return pairs + (measured or "; not measured")


@cache
def _measurements() -> tuple[int, int, tuple[Mapping[str, Any], ...]]:
    data = json.loads((evidence.RESULTS / "memory" / "memory.json").read_text(encoding="utf-8"))
    return data["n"], data["d"], tuple(data["rows"])


def _measured(name: str) -> str:
    """What one aggregation took, at the most of the lines that there are for it."""
    n, d, rows = _measurements()
    rounds = [row[turn] for row in rows if row["name"] == name for turn in ("first", "third")]
    if not rounds:
        return ""
    extra = max(each["extra_bytes"] for each in rounds) / 1e6
    kept = max(each["state_bytes"] for each in rounds) / 1e6
    state = f", {kept:.0f} MB kept between rounds" if kept >= 1 else ""
    return f"; {extra:.0f} MB extra{state} at {n} x {d:,} ([measured]({evidence.UP}/memory/README.md))"


@cache
def _many_clients() -> Mapping[str, Mapping[str, str]]:
    """By rule its line with the most clients, of the tables of the page about many."""
    found: dict[str, Mapping[str, str]] = {}
    head: list[str] = []
    for line in (DOCS / "how-to" / "many-clients.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells or cells[0] == "rule":
            head = cells
        elif {"rule", "n", "d", "seconds"} <= {*head}:
            row = dict(zip(head, cells, strict=False))
            known = found.get(row["rule"])
            if row["n"].replace(",", "").isdigit() and (known is None or _number(row["n"]) > _number(known["n"])):
                found[row["rule"]] = row
    return found


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _with_many(name: str) -> str:
    """What it took with the most clients that it was measured with."""
    row = _many_clients().get(name)
    if row is None:
        return ""
    # Where a measurement was stopped, or refused, the cell of its seconds says so.
    took = ", ".join(
        f"{row[of]}{unit}" for of, unit in (("extra memory", ""), ("CPU seconds", " s of CPU")) if row.get(of)
    )
    return f"; {took or row['seconds']} at {row['n']} x {row['d']} ([many clients](../../how-to/many-clients.md))"


def _facts_of_mixer(entry: Entry) -> dict[str, str]:
    traits = entry.build().traits()
    return {
        "Needs": ", ".join(needs(entry)) or "nothing besides rows",
        "Reads": _read(entry),
        "Time": entry.complexity,
        "Memory": _memory(entry),
        "Rows after it": "still one for each client" if traits.keeps_clients else "fewer, each of several clients",
    }


def _facts_of_attack(entry: Entry) -> dict[str, str]:
    traits = entry.build().traits()
    seen = {"honest": "the honest rows", "own": "the byzantine clients' own rows", "all": "all rows"}
    return {
        "May look at": seen.get(traits.knows or "", "no rows"),
        "Remembers": "earlier rounds" if traits.history else "",
        "Protocol": "changes what byzantine clients say, or when they take part" if traits.protocol else "",
    }


def _parameters(entry: Entry) -> str:
    said = {**_EVERYWHERE, **entry.doc.arguments}
    rows = []
    for name, parameter in entry.parameters.items():
        needed = parameter.default is ...
        shown = f"`{name}`, which must be given" if needed else f"`{name}={_shown(parameter.default)}`"
        rows.append([shown, prose(parameter.spoken), prose(said.get(name, ""))])
    return table(["Parameter", "Takes", "What it is"], rows)


def _shown(value: Any) -> str:
    return fw.describe(value) if isinstance(value, Component) else str(value)


def _evidence(entry: Entry) -> tuple[str, str] | None:
    if entry.kind == "rule":
        note = ""
        if entry.build().traits().starts and evidence.not_begun(entry.name):
            note = "\n- It had not been switched on in these findings, and before that it is a mean."
        if entry.build().traits().hears_alarms and not evidence.with_alarms(entry.name):
            note = "\n- The red team's clients raised no alarms in these findings, without which it is a mean."
        return "What breaks it", evidence.of_rule(entry.name) + note
    if entry.kind == "mixer":
        return "What was seen of it", evidence.of_mixer(entry.name)
    if entry.kind == "attack" and entry.name != "no-attack":
        return "What it breaks", evidence.of_attack(entry.name, _KINDS.get(entry.name, (entry.name,)))
    return None


def overview(entries: Sequence[Entry], page: str) -> str:
    """A table of components of one kind, with links to their sections."""
    rows = [[_called(e, page), "" if e.paper == "-" else e.paper] for e in entries]
    return table(["Name, and what it does", "Paper"], rows)


def overview_of_rules(entries: Sequence[Entry]) -> str:
    """The same of rules, with what one chooses them by."""
    rows = [
        [
            _called(e, "catalogue/rules.md"),
            ", ".join([bound(e), *needs(e), *["n x n"] * compares_pairs(e)]),
            evidence.short_of(e.name),
        ]
        for e in entries
    ]
    return table(["Rule, and what it does", "Needs", "Accuracy without attack, at worst"], rows)


def _called(entry: Entry, page: str) -> str:
    # One cell, since a narrow screen has no room for a column that is read like text beside others.
    return f"[`{entry.name}`]({page}#{entry.name}) {prose(entry.summary)}"
