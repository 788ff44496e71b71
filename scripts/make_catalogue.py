"""Write docs/reference/catalogue.md and the pages below it: whatever has a name, from the registry itself.

What a component is, and when to use it, stands in its docstring; what breaks it, in ``results/``. Tables in pages that
are written by hand, between ``<!-- NAME -->`` and ``<!-- /NAME -->``, are filled in from the same.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from catalogue import evidence
from catalogue.components import GROUPS, compares_pairs, group, needs, overview, overview_of_rules, section
from catalogue.markdown import table

import fedward as fw
from fedward.registry.entries import Entry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

HEAD = """# Catalogue

Everything that has a name, one line each; a line leads to its section: formula, parameters, what it costs and needs,
when to use it, what breaks it. The same is `fedward list rules` (mixers, attacks, clients, data, ...; `--json` for
programs) and `fw.catalogue()`. Which of the rules to take: [choosing a rule](../get-started/choosing-a-rule.md).

Write a rule as text the way its section has it, with arguments after a colon, and mixers and filters before `>>`:
`nnm:f=10 >> trimmed-mean:f=10`, `sign-guard >> median`, `robust-tailor:rules=(median | krum:f=10)`. A filter is a rule
that drops clients: the rule after it sees those that it accepts (`help(fw.core.Filtered)`). Filters are FILTERS.

A plain function of your own stands wherever a rule or an attack does, by its import path, `my.module:trim:f=2`:
[a rule or an attack of your own](../how-to/own-rule-and-attack.md). It reads the whole stack into memory at once, which
none of the rules below does.
"""

RULES = """In the table:

- **Needs** begins with the fewest clients, n, that the rule works with; f is the number of byzantine clients that it is
  told of, or a share of a round's rows (`f=0.2`: 3 of 15, 2 of 12; the result's note says which). Where its theorem
  needs more than its formula does, `bound=definition` has the latter, as authors run Krum with f = 4 of 10:
  `krum:f=4,bound=definition`. Nothing is promised there, and results, runs and pages say that a round was decided
  beyond the bound of its theorem. Then f itself; *memory* of earlier rounds, or *of clients* by their ids; *root data*,
  samples of the server's own; *alarms* that clients raise; *n x n* numbers, where all pairs of clients are compared:
  what that takes with many clients is in [Many clients](../how-to/many-clients.md).
- **Accuracy**: after a short training without attack, and under the worst of the attacks that it was trained under, by
  [the red team](../../results/redteam/README.md): SETTING. An accuracy of 10 % is that of a guess.
  Findings are those of commit COMMITS, and rules may have changed since (`CHANGELOG.md`).

Memory by client is of the `remember` ids seen last, and a client that was forgotten is as a new one: where clients may
choose their ids, nothing that uses ids holds. `fldetector` gives all the weight to a single client that sends the
same row in every round, which is predicted without error (`repeat`; `fedward redteam --captured 24` shows it).

Where a paper and its code differ, the section says how, and `variant="official"` or an
argument of its own is the other one. The default is the paper, but where the paper's print does not do what its text
says (SIREN's alarms and rollback, the order of DeSGD's momentum: `printed` is the print; SIREN's award: `alarm rounds`
is the letter); where versions of a paper differ, the section says which one it is.
"""

ATTACKS = """Attacks that look at rows take `knows`: the honest clients' (`honest`), those and the byzantine clients'
own (`all`), or only their own (`own`). Attacks made of attacks nest: `schedule:attacks=(0: no-attack | 50: min-max)`,
`random-schedule:attacks=(no-attack | alie),every=20`, `maximise:attack=ipm,over=epsilon,bounds=(0, 10)`.
"""

READING = """How to read **what breaks it**: all of it is written by `python scripts/make_catalogue.py` from what is in
[results](../../../results/README.md), and nothing from memory. *Kappa* is how far one round's output is from the honest
mean: its squared distance in units of the honest rows' mean squared distance from it, 0 if it is not moved at all,
above 1 if an honest client drawn at random is nearer on average. *Adaptive* attacks search a parameter against the very
rule ([maximise](attacks.md#maximise)). The red team's setting: SETTING. Its rounds have no classes. Of a rule that must
have seen as many rounds as were captured, or more, there is no kappa: it never decided by what it is. Findings are
those of commit COMMITS, and rules may have changed since. Each folder of longer runs says itself which code made them.
"""

RECIPES = """### The seven attacks of FedSECA's tables

As its released code has them, for clients that send updates (`local-sgd`); where they send gradients, ALIE has `z=1`,
and the others are the same. `knows=all`: the byzantine clients' own rows are among those that means and deviations are
of. Jitter is drawn once for each byzantine client.

| Attack | As text | Where the released code differs |
| --- | --- | --- |
| Label flip | `label-flip` | |
| Scaling | `scaling:factor=10` | it multiplies the weights of the model, running statistics included, not the update |
| ALIE | `alie:z=-1,jitter=0.05,ddof=1,knows=all` | |
| IPM | `ipm:epsilon=1.3,jitter=0.05,knows=all` | |
| Fang | `fang:jitter=0.05,knows=all` | a parameter that does not move counts as falling |
| MinMax | `tailored-min-max:direction=unit,knows=all` | `help(fw.attacks.TailoredMinMax)` |
| Mimic | `mimic:warmup=5` | it squares column by column, on weights; to compare rules, fix the `target` |
"""

OUT_OF_SCOPE = """## Out of scope

- **Redundancy codes** (DRACO, election coding): they change which data a client works on, and recover the exact
  gradient from repeated work. fedward starts from what clients sent. The robust half of DETOX is here:
  `group-majority` and a rule after it.
- **Secure aggregation**: a server that sees only sums of updates cannot judge single clients. Rules here need the rows.
"""

SECTIONS: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "rules": ("Rules", ()),
    "mixers": ("Mixers", (("mixer", "Mixers"),)),
    "attacks": ("Attacks", (("attack", "Attacks"),)),
    "training": (
        "Clients, servers, schedules",
        (
            ("client", "Client algorithms"),
            ("server", "The server's optimisers"),
            ("schedule", "Schedules of learning rates"),
        ),
    ),
    "data": (
        "Data, partitions, models",
        (("data set", "Data sets"), ("partition", "Partitions"), ("model", "Models")),
    ),
}
"""The pages below the catalogue: title, and kinds of components with their headings."""


def pages() -> dict[str, str]:
    """All pages, by their place in docs."""
    made = {"reference/catalogue.md": _overview()}
    made |= {f"reference/catalogue/{name}.md": _page(name) for name in SECTIONS}
    return made | {place: _with_tables(place, tables) for place, tables in TABLES.items()}


def _with_tables(place: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """A page that is written by hand, its tables made anew."""
    text = (DOCS / place).read_text(encoding="utf-8")
    for name, make in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}{make()}\n{end}{after}"
    return text


def _least() -> str:
    rules = {entry.name: entry for entry in _entries("rule")}
    rows = []
    for rule, without, at_worst, under in evidence.least():
        entry = rules[evidence.name(rule)]
        also = ", ".join([*needs(entry), *["n x n"] * compares_pairs(entry)])
        link = f"[`{rule}`](../reference/catalogue/rules.md#{entry.name})"
        rows.append([link, at_worst, f"`{under}`", without, also])
    return table(["Rule", "At worst", "Under", "Without attack", "Needs"], rows)


def _peers() -> str:
    """The table of libraries, of those that the page speaks of."""
    speed = (DOCS / "evidence" / "speed.md").read_text(encoding="utf-8")
    found = re.search(r"^\| library \|.*?\n\n", speed, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, "docs/evidence/speed.md has no table of libraries"
    lines = found[0].strip().split("\n")
    return "\n".join(line for line in lines if not line.startswith(("| ByzPy", "| torchjd")))


def _flower() -> str:
    page = (ROOT / "results" / "flower" / "README.md").read_text(encoding="utf-8")
    return page.partition("<!-- strategies -->\n")[2].partition("\n<!-- /strategies -->")[0]


TABLES: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "get-started/choosing-a-rule.md": {"least": _least},
    "concepts/comparison.md": {"peers": _peers, "flower": _flower},
}
"""Tables of pages that are written by hand, and what makes them."""


def _entries(kind: str) -> tuple[Entry, ...]:
    return fw.catalogue(kind, packaged=True)


def _filled(text: str) -> str:
    """Text with what comes from the registry, or from results."""
    made = ((entry.name, entry.build().traits()) for entry in _entries("rule"))
    filters = ", ".join(f"`{name}`" for name, traits in made if traits.selects and not traits.server_rows)
    return (
        text.replace("FILTERS", filters).replace("COMMITS", evidence.commits()).replace("SETTING", evidence.setting())
    )


def _overview() -> str:
    parts = [_filled(HEAD), "## Rules", _filled(RULES)]
    for title, entries in _grouped():
        parts += [f"### {title}", overview_of_rules(entries)]
    for page, (_, kinds) in SECTIONS.items():
        for kind, title in kinds:
            parts += [f"## {title}", *([ATTACKS] if kind == "attack" else [])]
            parts.append(overview(_entries(kind), f"catalogue/{page}.md"))
            parts += [RECIPES] if kind == "attack" else []
    return _joined([*parts, OUT_OF_SCOPE])


def _grouped() -> list[tuple[str, list[Entry]]]:
    rules = _entries("rule")
    return [(title, [entry for entry in rules if group(entry) == title]) for title in GROUPS]


def _page(name: str) -> str:
    title, kinds = SECTIONS[name]
    parts = [f"# {title}", f"[All of the catalogue in one table](../catalogue.md). {_said(name)}"]
    if name in ("rules", "mixers", "attacks"):
        parts.append(_filled(READING))
    if name == "rules":
        for heading, entries in _grouped():
            parts += [f"## {heading}", *map(section, entries)]
    for kind, heading in kinds:
        parts += [f"## {heading}"] * (len(kinds) > 1) + list(map(section, _entries(kind)))
    return _joined(parts)


def _said(name: str) -> str:
    return {
        "rules": "Rules take the rows of clients and make one of them.",
        "mixers": "Mixers stand before a rule, `nnm:f=10 >> krum:f=10`, and make other rows of those that came.",
        "attacks": "Attacks say what byzantine clients do.",
        "training": "What clients compute, what the server makes of the aggregate, and how fast.",
        "data": "What is learnt, who holds what of it, and by which model. Own ones: "
        "[your own data](../../how-to/own-data.md), [models](../../how-to/models.md).",
    }[name]


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


if __name__ == "__main__":
    for place, text in pages().items():
        file = DOCS / place
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(f"wrote docs/{place}")
