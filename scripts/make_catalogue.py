"""Write docs/reference/catalogue.md: every rule, mixer, attack and client algorithm, from the registry itself."""

from __future__ import annotations

from pathlib import Path

import fedward as fw
from fedward.core import reads
from fedward.registry.entries import Entry
from fedward.registry.notation import short_for

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "catalogue.md"

HEAD = """# Catalogue

Everything here is also `fedward list rules` (mixers, attacks, clients; `--json` for programs) and `fw.catalogue()`.
This page is written by `python scripts/make_catalogue.py`.

Write a rule as text the way the first column has it, with arguments after a colon, and mixers and filters before `>>`:
`nnm:f=10 >> trimmed-mean:f=10`, `sign-guard >> median`, `robust-tailor:rules=(median | krum:f=10)`. A filter is a rule
that drops clients: the rule after it sees those that it accepts (`help(fw.core.Filtered)`). Filters are FILTERS.

- **Clients**: the fewest that the rule works with; f is the number of byzantine clients that it is told of,
  or a share of a round's rows (`f=0.2`: 3 of 15, 2 of 12; the result's note says which). Where its
  theorem needs more than its formula does, `bound=definition` has the latter, as authors run Krum with f = 4 of 10:
  `krum:f=4,bound=definition`. Nothing is promised there, and results, runs and pages say that a round was decided
  beyond the bound of its theorem.
- **Reads**: the statistics that come in the first pass over the data, beside the norms behind the finite check. Rules
  without any look at each column on its own, or at more than statistics (the rows' history, the server's own data).
- **Passes**: over the data at most, the one that writes the output included.
- **Needs**: f; *memory* of earlier rounds; *root data*, samples of the server's own.

Memory by client is of the `remember` ids seen last, and a client that was forgotten is as a new one: where clients may
choose their ids, nothing that uses ids holds. `fldetector` gives all the weight to a single client that sends the
same row in every round, which is predicted without error (`repeat`; `fedward redteam --captured 14` shows it).

Attacks that look at rows take `knows`: the honest clients' (`honest`), those and the byzantine clients' own (`all`), or
only their own (`own`). Attacks made of attacks nest: `schedule:attacks=(0: no-attack | 50: min-max)`,
`random-schedule:attacks=(no-attack | alie),every=20`, `maximise:attack=ipm,over=epsilon,bounds=(0, 10)`.

Where a paper and its code differ, the docstring (`help(fw.rules.SignGuard)`) says how, and `variant="official"` or an
argument of its own is the other one. The default is the paper, but where the paper's print does not do what its text
says (SIREN's alarms and rollback, the order of DeSGD's momentum: `printed` is the print; SIREN's award: `alarm rounds`
is the letter); where versions of a paper differ, the docstring says which one it is.
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


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _arguments(entry: Entry) -> str:
    shown = []
    for name, default in entry.arguments.items():
        text = fw.describe(default) if isinstance(default, fw.registry.component.Component) else default
        shown.append(name if default is ... else f"{name}={text}")
    return ", ".join(shown)


def _row(entry: Entry) -> list[str]:
    first = f"`{entry.name}`" + (f" ({_arguments(entry)})" if entry.arguments else "")
    first += "".join(f"; `{alias}` is `{text}`" for alias, text in short_for(entry).items())
    cells = [first, entry.summary, entry.paper]
    if entry.kind == "client":
        return cells
    if entry.kind == "attack":
        return [*cells, "memory" * entry.history]
    needs = ["f"] * entry.needs_f + ["memory"] * entry.history + ["root data"] * entry.root_data
    read = ", ".join(reads(entry.build()))
    if entry.kind == "mixer":
        return [*cells, read, entry.complexity, ", ".join(needs)]
    passes = "grows with n" if entry.passes is None else str(entry.passes)
    clients = f"{entry.bound} (by definition {entry.definition})" if entry.definition else entry.bound
    return [*cells, clients, read, passes, entry.complexity, ", ".join(needs)]


def _table(kind: str, columns: list[str]) -> str:
    rows = [columns, ["---"] * len(columns), *map(_row, fw.catalogue(kind, packaged=True))]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _filters() -> str:
    """The rules that can stand before another one."""
    made = ((entry.name, entry.build().traits()) for entry in fw.catalogue("rule", packaged=True))
    return ", ".join(f"`{name}`" for name, traits in made if traits.selects and not traits.server_rows)


def page() -> str:
    """The whole page."""
    common = ["Name", "What it does", "Paper"]
    rules = _table("rule", [*common, "Clients", "Reads", "Passes", "Time", "Needs"])
    mixers = _table("mixer", [*common, "Reads", "Time", "Needs"])
    attacks = _table("attack", [*common, "Needs"])
    clients = _table("client", common)
    parts = [
        HEAD.replace("FILTERS", _filters()),
        f"## Rules\n\n{rules}\n",
        f"## Mixers\n\n{mixers}\n",
        f"## Attacks\n\n{attacks}\n",
        RECIPES,
    ]
    parts += [f"## Client algorithms\n\n{clients}\n", OUT_OF_SCOPE]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE.name}")
