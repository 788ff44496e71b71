"""Measure this machine, every rule, the peers and the simulator in one run.

    make bench                                       # about 20 minutes on two cores, most of it the largest stack
    make bench BENCH=--quick                         # less than two
    python -m benchmarks.speed --rules krum median   # some lines only
    python -m benchmarks.speed --rules krum --merge  # some lines into the file that is there, which say when

Writes a JSON file, ``docs/evidence/speed.md`` and its plot; ``--page`` writes the last two anew from the file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.speed import judge, peerenv, plot, report
from benchmarks.speed.machine import SAME_MACHINE, cores, machine, made_by, memory, require_same
from benchmarks.speed.measure import Bench, Options, Size
from benchmarks.speed.process import ROOT, Worker, environment
from benchmarks.speed.rules import lines
from benchmarks.speed.whole import N, adaptive, disk, resnet, rounds

RESULT = ROOT / "results" / "speed" / "speed.json"
FULL: tuple[Size, ...] = (
    (10, 57_620),
    (50, 57_620),
    (100, 57_620),
    (1000, 57_620),
    (50, 1_117_396),
    (50, 11_173_962),
)
Part = Callable[[], dict[str, Any]]
QUICK: tuple[Size, ...] = ((10, 57_620), (50, 57_620), (50, 288_100))


def arguments() -> argparse.Namespace:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="budgeted rules, small stacks, few turns")
    parser.add_argument("--threads", type=int, default=cores(), help="of every library (default: %(default)s)")
    parser.add_argument("--rules", nargs="+", metavar="NAME", help="lines of the table, such as krum or 'nnm >> krum'")
    parser.add_argument("--sizes", nargs="+", metavar="NxD", help="stacks, such as 50x57620")
    parser.add_argument("--seconds", type=float, help="for the turns of one contender (default: 2, quick 0.2)")
    parser.add_argument("--limit", type=float, help="stop a call that takes longer (default: 30, quick 3)")
    most = round(0.65e-9 * memory(), 1)
    parser.add_argument(
        "--memory", type=float, default=most, metavar="GB", help="a process may hold (here %(default)s)"
    )
    parser.add_argument("--no-peers", action="store_true", help="ours alone; nothing is installed")
    parser.add_argument("--only-rules", action="store_true", help="no rounds, no search, no ResNet-18, no files")
    parser.add_argument("--disk", type=float, help="gigabytes of the rows that stay on disk (2.2, quick 0.2)")
    parser.add_argument("--merge", action="store_true", help="only these rules, into the file that is there")
    parser.add_argument("--json", type=Path, default=RESULT, metavar="FILE")
    page_goes = ROOT / "docs" / "evidence"
    parser.add_argument("--docs", type=Path, default=page_goes, metavar="FOLDER", help="where the page goes")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page from the file")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    given = arguments()
    console = Console()
    if given.page:
        write(json.loads(given.json.read_text()), given)
        return
    if given.merge:
        if not given.rules:
            raise SystemExit("--merge is for some --rules")
        given.only_rules = True
        if not given.sizes:  # all that the file has
            given.sizes = [f"{n}x{d}" for n, d in json.loads(given.json.read_text())["settings"]["sizes"]]
    theirs = not given.no_peers and install(console)
    data: dict[str, Any] = {}
    given.json.parent.mkdir(parents=True, exist_ok=True)
    try:
        measure(given, theirs, console, data)
    except BaseException:  # Ctrl-C too: half an hour is not lost, nor are the results of an earlier run
        given.json.with_suffix(".partial.json").write_text(json.dumps(data, indent=1) + "\n")
        raise
    if given.merge:
        data = merged(json.loads(given.json.read_text()), data)
    given.json.write_text(json.dumps(data, indent=1) + "\n")
    show(data, console)
    write(data, given)
    console.print(f"{given.json}, {given.docs / 'speed.md'}")


def merged(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """An earlier run with the lines of this one in the place of its own; they say what measured them.

    Raises:
        SystemExit: another processor or number of threads, whose times are no part of the same table.
    """
    require_same(before["machine"], now["machine"], SAME_MACHINE)
    new = {(line["name"], line["n"], line["d"]): {**line, "made": made_by(now["machine"])} for line in now["lines"]}
    kept = [line for line in before["lines"] if (line["name"], line["n"], line["d"]) not in new]
    sizes = [tuple(size) for size in before["settings"]["sizes"]]
    order = {line.name: k for k, line in enumerate(lines(judge.REFERENCE[0]))}
    last = len(order)

    def place(line: dict[str, Any]) -> tuple[int, int]:
        return sizes.index((line["n"], line["d"])), order.get(line["name"], last)

    return {**before, "lines": sorted([*kept, *new.values()], key=place)}


def install(console: Console) -> bool:
    """Whether there are peers; without a network there are none, and the rest is measured all the same."""
    try:
        peerenv.make(lambda text: console.print(escape(text)))
    except peerenv.PeersError as error:
        console.print(f"no peers: {escape(str(error))}")
        return False
    return True


def measure(given: argparse.Namespace, theirs: bool, console: Console, data: dict[str, Any]) -> None:
    """Everything, into one dictionary."""
    options = chosen(given)
    sizes = [_size(text) for text in given.sizes] if given.sizes else list(QUICK if given.quick else FULL)
    settings = {"seconds": options.seconds, "limit": options.limit, "most": options.most, "sizes": sizes}
    settings["memory"] = given.memory
    data |= {"machine": machine(given.threads), "settings": settings, "lines": []}
    with tempfile.TemporaryDirectory() as name, _progress(console) as progress:
        folder = Path(name)
        ours, peers = workers(given, folder, theirs)
        task = progress.add_task("", total=sum(_count(n, options) for n, _ in sizes) + 4 * (not given.only_rules))

        def tell(text: str) -> None:
            progress.update(task, description=f"{escape(text):<50}")
            if not console.is_terminal:  # the bar shows only at the end there
                console.print(escape(text))

        try:
            if peers is not None:
                data["peers"] = peers.ask("versions")
            for record in Bench(ours, peers, options=options, folder=folder, tell=tell).run(sizes):
                data["lines"].append(record)
                progress.advance(task)
            if not given.only_rules:
                largest = max((d for n, d in sizes if n == N), default=judge.COLUMNS)
                for what, part in rest(given, ours, peers, largest):
                    tell(what)
                    data |= part()
                    progress.advance(task)
        finally:
            for worker in filter(None, (ours, peers)):
                worker.close()


def rest(given: argparse.Namespace, ours: Worker, peers: Worker | None, d: int) -> Iterator[tuple[str, Part]]:
    """What is not about one rule, by name."""
    quick, most = given.quick, given.memory * 1e9
    yield "a search against the rule", lambda: adaptive(ours, d)
    for worker in filter(None, (ours, peers)):
        worker.close()  # with its stack
    yield "rounds of training", lambda: {"rounds": rounds(ours, peers, turns=4 if quick else 15)}
    for worker in filter(None, (ours, peers)):
        worker.close()
    clients, count = (5, 1) if quick else (N, 2)
    yield "a simulation with ResNet-18", lambda: {"resnet": resnet(given.threads, clients, count, most)}
    size = given.disk or (0.2 if quick else 2.2)
    yield "rows that stay on disk", lambda: {"disk": disk(given.threads, size)}


def workers(given: argparse.Namespace, folder: Path, theirs: bool) -> tuple[Worker, Worker | None]:
    """A process each, not started yet."""

    def worker(python: str, module: str, *path: Path) -> Worker:
        command = [python, "-m", f"benchmarks.speed.{module}", "--threads", str(given.threads)]
        return Worker(command, environment(given.threads, path), given.memory * 1e9, folder / f"{module}.log")

    ours = worker(sys.executable, "rules", ROOT, ROOT / "src")
    return ours, worker(str(peerenv.python()), "peers", ROOT) if theirs else None


def chosen(given: argparse.Namespace) -> Options:
    """How long to measure, and what."""
    names = frozenset(given.rules) if given.rules else frozenset(judge.BUDGETS) if given.quick else None
    valid = {line.name for line in lines(judge.REFERENCE[0])}
    unknown = (names or frozenset()) - valid
    if unknown:
        raise SystemExit(f"no such line: {', '.join(sorted(unknown))}; there are {', '.join(sorted(valid))}")
    seconds = given.seconds or (0.2 if given.quick else 2.0)
    return Options(
        seconds=seconds, limit=given.limit or (3.0 if given.quick else 30.0), most=3 if given.quick else 7, names=names
    )


def show(data: dict[str, Any], console: Console) -> None:
    """The tables that fit a terminal."""
    heads = [f"d = {d:,}" for d in report.columns(data)]
    tables = {
        "budget": (["what", "allowed", "found", ""], report.budget_rows(data)),
        "rules, n = 50": (["rule", *heads, "floor", "extra", "in n", "in d"], report.rule_rows(data)),
        "clients": (["rule", *(f"n = {n}" for n in report.row_sizes(data))], report.row_rows(data)),
        "peers: their time / ours": (
            ["rule", "peer", *(f"{n} x {d:,}" for n, d in report.peer_sizes(data))],
            [row[:-2] for row in report.peer_rows(data)],
        ),
        "peers in all": (report.LIBRARIES, report.library_rows(data)),
        "rounds": (["", "a round", "a second", "plain loop / this"], report.round_rows(data)),
    }
    for title, (header, rows) in tables.items():
        if rows:
            table = Table(*header, title=title, title_justify="left")
            for row in rows:
                table.add_row(*map(escape, row))
            console.print(table)
    console.print(escape(report.machine_text(data)))


def write(data: dict[str, Any], given: argparse.Namespace) -> None:
    """The page and its plot."""
    given.docs.mkdir(parents=True, exist_ok=True)
    file = given.json.resolve()
    source = str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else file.name
    (given.docs / "speed.md").write_text(report.page(data, source), encoding="utf-8")
    plot.plot(data, given.docs / "speed.svg")


def _size(text: str) -> Size:
    n, _, d = text.partition("x")
    return int(n), int(d)


def _count(n: int, options: Options) -> int:
    return sum(options.names is None or line.name in options.names for line in lines(n))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
    return Progress(*columns, TimeElapsedColumn(), console=console)


if __name__ == "__main__":
    main()
