"""From the JSON file to tables: on the terminal and in ``docs/evidence/speed.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.speed.judge import (
    COLUMNS,
    Data,
    Record,
    at,
    best,
    geometric_mean,
    growth,
    multiple,
    reference,
    verdicts,
)

SAME = 1e-4  # of float32 results that were computed in another order
NONE = ""

HEAD = """# Speed and memory

Written by `make bench` from `{source}`; every figure on this page is of one run on one machine{apart}.

{machine}

`read` is the time of `G.sum()`, `gram` that of `G @ G.T`, both measured in the same turns as the rule; a rule's floor
is `read`, or `gram + read` if it needs the products of all rows. Rows are float32, one in five is byzantine
(f = n / 5). Times are the shortest of up to {most} calls, ours and the peers' in turns; every library has the same
threads and the same rows. A call of more than {limit:g} s is stopped, and so is a process of more than {memory:g} GB.
"""

PLOT = """
![Time of each rule and its peers as a multiple of the time to read the stack](speed.svg)
"""

BUDGET = """
## The budget

n = {n}, d = {d:,}, {size:.2f} GB in float32.{smaller}
"""

RULES = """
## Every rule

n = 50. *Floor* is the multiple of the rule's floor at the largest d; *extra* the peak memory beyond the stack and what
a rule keeps between rounds; *in n* and *in d* are the fitted exponents of growth, of n with d = 57,620 and of d with
n = 50. Rules with memory are timed in later rounds than the first. Where a rule does something else in its first
rounds, those are a line of their own, with their name in brackets: SignGuardSim and -Dist compare rows pairwise in
their warm-up and with the previous aggregate after it.
"""

ROWS = """
## More clients

d = 57,620; seconds, and in brackets the multiple of the floor.
"""

PEERS = """
## Peers

Their time divided by ours, above 1 where fedward is faster; *extra* is their peak memory beyond the stack, at the
largest size that they finished. {versions}

{summary}

{notes}

"""

LIBRARIES = ("library", "rules", "its time / ours, geometric mean", "faster than fedward in", "stopped or failed in")

NOTES = """- ByzPy asks for an older PyTorch (below 2.6) and NumPy (below 2.1), it and ByzFL for torchvision. Both are
  installed without that, beside the PyTorch and NumPy that fedward has; ByzFL's aggregators and clients are imported
  past its `__init__`, which imports torchvision for its data sets.
- Flower's strategies get replies in the serialised form in which they arrive, as they do in a federation.
- ByzFL's ARC clips the rows where they lie, so that it changes its caller's; it got a copy, made beforehand.
- *Same* means that the outputs differ by less than 1e-4 of their length."""

ROUNDS = """
## Rounds of training

50 clients, 10 of them byzantine (ALIE), batch 60, the SignGuard CNN (51,710 parameters). The plain loop computes every
client's gradient, averages them and takes a step of SGD. ByzFL's own clients and server do the same with its attack.

All have the same threads, which is not what suits the plain loop best. Apart from this run, on the 2 cores of the first
(`python benchmarks/round.py`): the plain loop takes 0.39 s with one thread and 0.56 s with two, a simulated round with
SignGuard 0.24 s and 0.18 s: 2.2 times as fast, each at its best. Clients whose rows are forged from those of others are
spared their work: 40 gradients a round, not 50.

"""


FILES = """
## Rows in files

Files are read ahead, some megabytes of each at a time, by threads of their own, and past the system's cache where rows
are more than a quarter of the memory. Rules that decide without looking at rows take one pass, in which the output is
made while NaN is looked for: Mean, and for up to 1,024 clients Median, TrimmedMean, MeaMed and Phocas. All others need
their weights first, and two. Apart from this run, on 2 cores of which another process wanted one
(`python -m benchmarks.disk --size 7 --repeat 4`, 50 files of 0.14 GB, the best of 4, all in turns):

| what | seconds | passes | GB/s | of dd | memory |
| --- | --- | --- | --- | --- | --- |
| dd iflag=direct bs=8M | 5.4 | 1 | 1.30 | 1.00 | |
| plain reading, file by file | 5.1 | 1 | 1.38 | 1.06 | |
| mean | 6.2 | 1.00 | 1.12 | 0.87 | 0.32 GB |
| median | 6.3 | 1.00 | 1.11 | 0.85 | 0.19 GB |
| multi-krum | 15.7 | 1.76 | 0.78 | 0.60 | 0.14 GB |

A pass of Mean takes 0.5 s of one core for a GB, so where others want the cores the processor holds it back and not the
disk: at a load of 12 on the same 2 cores it was at 0.39 of `dd`, Median at 0.17 (best of 2, with pieces of a megabyte).

## Many clients

Every rule with 2,000 clients, and some with 10,000: [many-clients.md](../how-to/many-clients.md).
"""

# Measured by `pieces`, apart from the runs that the page is made of, on the 2 cores of the first one.
WHY = {
    "mean": (
        "rows are read twice, for what is not finite (1.1 x read) and for the sum, which is in float64 (1.9 x). "
        "`G.mean(0)`, which does not look for NaN, takes 2.6 x read there. With one thread and d = 5 million the rule "
        "takes 2.6 x."
    ),
    "clip-mean": "as for mean: norms 1.1 x read, the weighted sum 1.9 x.",
    "sign-guard": (
        "norms and signs together 2.5 x read (signs of all columns are counted, those drawn have weight 1), drawing "
        "a tenth of the columns 0.8 x, which one thread does, the sum 1.6 x, clusters the rest. With one thread and "
        "d = 5 million the rule takes 4.5 x."
    ),
    "extra memory": (
        "FoolsGold and FLDetector remember a row for each client. A round that fails must leave that as it was, so "
        "old and new rows are in memory together at its end."
    ),
}


def seconds(value: float | None) -> str:
    """Three digits, in s, ms or us."""
    if value is None:
        return NONE
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if value * factor >= 1 or unit == "us":
            shown = value * factor
            return f"{shown:.0f} {unit}" if shown >= 100 else f"{shown:.3g} {unit}"
    raise AssertionError


def times(value: float | None) -> str:
    """A multiple."""
    return NONE if value is None else f"{value:.0f} x" if value >= 10 else f"{value:.2g} x"


def power(value: float | None) -> str:
    """An exponent."""
    return NONE if value is None else f"{value:.2f}"


def megabytes(value: float | None) -> str:
    """Of memory."""
    return NONE if value is None else f"{value / 1e6:.0f} MB"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def names(data: Data) -> list[str]:
    """Of the lines, in the order in which they were measured."""
    return list(dict.fromkeys(r["name"] for r in data["lines"]))


def columns(data: Data) -> list[int]:
    """The numbers of columns that were measured with the reference's rows."""
    return sorted({r["d"] for r in data["lines"] if r["n"] == reference(data)[0]})


# --- tables ------------------------------------------------------------------------------------------------------


def budget_rows(data: Data) -> list[list[str]]:
    """What, allowed, found, met or not."""
    return [[v.what, v.allowed, v.found, v.word] for v in verdicts(data)]


def rule_rows(data: Data) -> list[list[str]]:
    """A row a rule: its times at 50 rows, floor, extra memory, growth."""
    n, largest = reference(data)
    rows = []
    for name in names(data):
        records = [at(data, name, n, d) for d in columns(data)]
        last = at(data, name, n, largest)
        in_n, in_d = growth(data, name)
        cells = [name, *map(_time, records), times(multiple(last) if last else None)]
        rows.append([*cells, megabytes(last.get("extra_bytes") if last else None), power(in_n), power(in_d)])
    return rows


def row_rows(data: Data) -> list[list[str]]:
    """A row a rule: its times with more and more clients."""
    sizes = row_sizes(data)
    return [[name, *(_with_floor(at(data, name, n, COLUMNS)) for n in sizes)] for name in names(data)]


def row_sizes(data: Data) -> list[int]:
    """The numbers of clients that were measured."""
    return sorted({r["n"] for r in data["lines"] if r["d"] == COLUMNS})


def peer_rows(data: Data) -> list[list[str]]:
    """A row a peer's version of a rule."""
    found: dict[tuple[str, str, str], dict[tuple[int, int], tuple[Record, Record]]] = {}
    for record in data["lines"]:
        for peer in record["peers"]:
            key = (record["name"], peer["library"], peer["what"])
            found.setdefault(key, {})[record["n"], record["d"]] = (record, peer)
    sizes = peer_sizes(data)
    rows = []
    for (name, library, what), cells in found.items():
        shown = [_ratio(*cells[size]) if size in cells else NONE for size in sizes]
        finished = [size for size in sizes if size in cells and best(cells[size][1]) is not None]
        extra = megabytes(cells[finished[-1]][1].get("extra_bytes")) if finished else NONE
        rows.append([name, f"{library} {what}", *shown, extra, agreement([peer for _, peer in cells.values()])])
    return rows


def peer_sizes(data: Data) -> list[tuple[int, int]]:
    """Of all stacks, by rows at 57,620 columns, then by columns."""
    return sorted({(r["n"], r["d"]) for r in data["lines"]}, key=lambda size: (size[1], size[0]))


def agreement(peers: Sequence[Record]) -> str:
    """Whether a peer computes the same, and if not, why."""
    distances = [peer["distance"] for peer in peers if peer.get("distance") is not None]
    differs = peers[0]["differs"]
    if not distances:
        return differs or NONE
    same = max(distances) < SAME
    if differs:
        return f"{differs} ({'same output here' if same else 'another output'})"
    return "same" if same else f"another output, by up to {max(distances):.1e}"


def _time(record: Record | None) -> str:
    if record is None:
        return NONE
    return seconds(best(record)) if best(record) is not None else record["stopped"]


def _with_floor(record: Record | None) -> str:
    found = multiple(record) if record else None
    return _time(record) + (f" ({times(found)})" if found is not None else "")


def _ratio(record: Record, peer: Record) -> str:
    ours, theirs = best(record), best(peer)
    if theirs is None:
        why = str(peer["stopped"])
        return "out of memory" if "allocate memory" in why else why
    return times(theirs / ours) if ours else seconds(theirs)


def library_rows(data: Data) -> list[list[str]]:
    """A row a library: how it does in all."""
    ratios: dict[str, list[float]] = {}
    failed: dict[str, int] = {}
    versions: dict[str, set[tuple[str, str]]] = {}
    for record in data["lines"]:
        for peer in record["peers"]:
            library, ours, theirs = peer["library"], best(record), best(peer)
            versions.setdefault(library, set()).add((record["name"], peer["what"]))
            failed[library] = failed.get(library, 0) + (theirs is None)
            if ours is not None and theirs is not None:
                ratios.setdefault(library, []).append(theirs / ours)
    rows = []
    for library, known in versions.items():
        mine = ratios.get(library, [])
        ahead = f"{sum(ratio < 1 for ratio in mine)} of {len(mine)} measurements"
        missing = f"{failed[library]} of {len(mine) + failed[library]}"
        rows.append([library, str(len(known)), times(geometric_mean(mine)), ahead, missing])
    return rows


def round_rows(data: Data) -> list[list[str]]:
    """A row a way to run a round."""
    rounds: Mapping[str, Any] = data.get("rounds") or {}
    plain = rounds.get("fedward", {}).get("plain loop", {}).get("min")
    rows = []
    for library in ("fedward", "ByzFL"):
        for name, span in rounds.get(library, {}).items():
            who = name if name == "plain loop" else f"{library}, {name}"
            if "stopped" in span:
                rows.append([who, span["stopped"], NONE, NONE])
                continue
            least = span["min"]
            rows.append([who, seconds(least), f"{1 / least:.1f}", times(plain / least) if plain else NONE])
    return rows


# --- the page ------------------------------------------------------------------------------------------------------


def machine_text(data: Data) -> str:
    """A sentence on what it ran on."""
    on = data["machine"]
    caches = ", ".join(f"{name} {size}" for name, size in on["caches"].items())
    return (
        f"{on['processor']}, {on['cores']} cores ({caches}), {on['memory_gib']} GiB, {on['system']}; {on['threads']} "
        f"thread{'s' * (on['threads'] > 1)}; Python {on['python']}, PyTorch {on['torch']}, NumPy {on['numpy']}; "
        f"{on['date']}, commit {on['commit']}."
    )


def page(data: Data, source: str) -> str:
    """The whole of ``docs/evidence/speed.md``."""
    n, d = reference(data)
    settings = data["settings"]
    smaller = "" if d > 10**7 else " This was a quick run: the budget is meant for d = 11,173,962."
    heads = [f"d = {each:,}" for each in columns(data)]
    parts = [
        HEAD.format(source=source, machine=machine_text(data), apart=_apart(data), **settings),
        PLOT,
        BUDGET.format(n=n, d=d, size=4 * n * d / 1e9, smaller=smaller),
        "\n" + markdown(["what", "allowed", "found", ""], budget_rows(data)) + "\n",
        _missed(data),
        RULES,
        "\n" + markdown(["rule", *heads, "floor", "extra", "in n", "in d"], rule_rows(data)) + "\n",
        _notes(data),
        ROWS,
        "\n" + markdown(["rule", *(f"n = {each}" for each in row_sizes(data))], row_rows(data)) + "\n",
    ]
    if data.get("peers"):
        parts.append(_peers(data))
    if data.get("rounds"):
        parts += [ROUNDS, markdown(["", "a round", "rounds a second", "plain loop / this"], round_rows(data)), "\n"]
    return "".join(parts) + _resnet(data) + (FILES if data.get("disk") else "")


def _apart(data: Data) -> str:
    """Which lines are of another run on the same machine."""
    runs: dict[str, list[str]] = {}
    for line in data["lines"]:
        if "made" in line:
            runs.setdefault(f"{line['made']['date']}, commit {line['made']['commit']}", []).append(line["name"])
    said = (f"{', '.join(dict.fromkeys(lines))} ({run})" for run, lines in runs.items())
    return "".join(f", but for these lines: {text}" for text in ["; ".join(said)] if text)


def _missed(data: Data) -> str:
    """What is known of the lines that are not met."""
    missed = [v.what for v in verdicts(data) if v.met is False]
    known = [f"- {what}: {WHY[key]}" for what in missed for key in WHY if what == key or what.startswith(f"{key},")]
    how = "What the time goes to (`python -m benchmarks.speed.pieces`; `--threads 1 --columns 5000000` for one thread):"
    return f"\n{how}\n\n" + "\n".join(known) + "\n" if known else ""


def _peers(data: Data) -> str:
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in data["peers"].items())
    summary = markdown(LIBRARIES, library_rows(data))
    heads = [f"n = {n}, d = {d:,}" for n, d in peer_sizes(data)]
    table = markdown(["rule", "peer", *heads, "extra", "output"], peer_rows(data))
    return PEERS.format(versions=f"{versions}.", summary=summary, notes=NOTES) + table + "\n"


def _notes(data: Data) -> str:
    found = dict.fromkeys(f"- {r['name']}, n = {r['n']}: {r['note']}." for r in data["lines"] if r["note"])
    return "\n" + "\n".join(found) + "\n" if found else ""


def _resnet(data: Data) -> str:
    found = data.get("resnet")
    if not found or "stopped" in found:
        return ""
    return (
        f"\n## ResNet-18\n\n{found['clients']} clients train a ResNet-18 of {found['parameters']:,} parameters "
        f"(`benchmarks/speed/resnet.py`, batch {found['batch']}, SignGuard, ALIE): the whole process takes at most "
        f"{found['peak_bytes'] / 1e9:.2f} GB, of which {found['rows_bytes'] / 1e9:.2f} GB are the clients' rows.\n"
    )
