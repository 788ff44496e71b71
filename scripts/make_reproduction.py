"""Write docs/evidence/reproduction.md: for every published number what was measured beside it, and a verdict.

What was measured is found by the settings of a cell, wherever it lies: in results/*/runs.json, and in the tables of
sweeps, results/*/sweep.csv, which scripts/keep_sweep.py writes. Nothing else counts. Why a number differs stands in
docs/evidence/reproduction/explanations.toml, which is written by hand::

    [[explanation]]
    published = "signguard-table1"
    match = { group = "fashion-mnist", rule = "median" }    # of: group, rule, attack, row, column; any of them
    text = "What was tried, and what would explain it."

    python scripts/make_reproduction.py
"""

from __future__ import annotations

import csv
import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from fedward import published
from fedward.disk import write_whole
from fedward.experiments.spec import RunSpec, SpecError, make_spec
from fedward.published.compare import COLLAPSED, SHARES_WITHIN, WITHIN, WITHIN_IN_SMALL, counted
from fedward.sweeps import Cell, Row, Sweep

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "evidence" / "reproduction.md"
EXPLANATIONS = ROOT / "docs" / "evidence" / "reproduction" / "explanations.toml"
PROFILES = (None, "short")
"""The published setting, and the one that counts where that was not run."""
MATCHED = ("group", "rule", "attack", "row", "column")
NONE = "-"
MARKS = {"reproduced": "=", "differs": "**differs**", "not run": "", "not compared": ""}
MARKS_IN_SMALL = {**MARKS, "reproduced": "~"}

HEAD = f"""# Reproduction

For every published number what was measured beside it. This page is written by `python scripts/make_reproduction.py`;
what was measured comes from `results/`, and nothing is on it that was not.

- **reproduced** (=): an accuracy within {WITHIN} points of the published one, or a collapse where a collapse is
  published: {COLLAPSED:.0f} points or more below the paper's accuracy without attack. A bound in the text holds to
  {WITHIN} points, a share of clients is within {SHARES_WITHIN}, a drop of accuracy within {WITHIN} points.
- **the same in small** (~): run in the short setting alone, which takes minutes a cell on two cores. Its accuracies
  are lower with and without an attack, so the loss is compared, how far an accuracy is below the mean's without
  attack, here and in the paper: within {WITHIN_IN_SMALL:.0f} points, or {COLLAPSED:.0f} and more in both. It says that
  a claim holds in small, and nothing of the digits.
- **differs**: anything else; what would explain it is below each table.
- **not run** (-): neither in the published setting nor in the short one. Seconds are those of another machine and are
  not compared, nor is a short run without one of the mean without attack.

Every table is a sweep, `fedward sweep NAME`, with `--profile short` in the short setting.
"""


# --- what was measured ----------------------------------------------------------------------------------------

Setting = tuple[tuple[str, str], ...]
"""All that decides a run but its seed."""

_BESIDE = frozenset({"seed", "data_path", "device", "confidence"})


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """A row, and where it is from."""

    row: Row
    seed: int
    where: str


def setting_of(spec: RunSpec) -> Setting:
    """What two runs have in common that differ in their seed alone."""
    return tuple((key, repr(value)) for key, value in sorted(spec.resolved().items()) if key not in _BESIDE)


def all_found(results: Path) -> dict[Setting, dict[int, Found]]:
    """All finished runs that there are, by setting and seed; of those that are there twice, one of a sweep."""
    found: dict[Setting, dict[int, Found]] = {}
    for one in [*_in_runs(results), *_in_sweeps(results)]:
        try:
            spec = make_spec(one.row.config)
        except SpecError as error:
            print(f"{one.where}: {one.row.cell}: left out: {error}", file=sys.stderr)
            continue
        found.setdefault(setting_of(spec), {})[one.seed] = one
    return found


def _in_runs(results: Path) -> Iterator[Found]:
    for file in sorted(results.glob("*/runs.json")):
        for name, run in json.loads(file.read_text(encoding="utf-8")).items():
            config = run["config"]
            if run["rounds"] < config["rounds"]:
                continue
            row = Row(
                cell=name,
                key="",
                group="",
                status="done",
                config=config,
                rounds_done=run["rounds"],
                best=run["best_accuracy"],
                last=run["final_accuracy"],
                code=run.get("versions", {}).get("code"),
                measures={key: run.get(key) for key in ("honest_accepted", "byzantine_accepted")},
            )
            yield Found(row=row, seed=config.get("seed", 0), where=file.parent.name)


def _in_sweeps(results: Path) -> Iterator[Found]:
    for file in sorted(results.glob("*/sweep.csv")):
        with file.open(encoding="utf-8", newline="") as text:
            for line in csv.DictReader(text):
                if line["status"] != "done":
                    continue
                config = {key: line[key] for key in RunSpec.model_fields if line.get(key)}
                known = ("honest_accepted", "byzantine_accepted", "seconds_rule")
                row = Row(
                    cell=line["cell"],
                    key=line["key"],
                    group=line["group"],
                    status="done",
                    config=config,
                    best=_number(line["best"]),
                    last=_number(line["last"]),
                    code=line.get("code") or None,
                    measures={key: _number(line.get(key, "")) for key in known},
                )
                yield Found(row=row, seed=int(config.get("seed", 0)), where=file.parent.name)


def _number(text: str) -> float | None:
    return float(text) if text else None


# --- beside what is published ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A published number, and ours.

    Attributes:
        number: the published one.
        values: ours, by seed.
        short: whether these are of the short setting.
        clean: of the short setting, our accuracy of the mean without attack in per cent, where it was run.
        where: the folders of results that they are from, each with a digest of the code that made them, if known.
    """

    number: published.Number
    values: tuple[float, ...] = ()
    short: bool = False
    clean: float | None = None
    where: tuple[tuple[str, str | None], ...] = ()

    @property
    def ours(self) -> float | None:
        return fmean(self.values) if self.values else None

    @property
    def verdict(self) -> published.Verdict:
        if self.short:
            return published.verdict_in_small(self.number, self.ours, self.clean)
        return published.verdict_on(self.number, self.ours)

    @property
    def mark(self) -> str:
        return (MARKS_IN_SMALL if self.short else MARKS)[self.verdict]

    @property
    def digits(self) -> int:
        """Of the published number; of ours as many."""
        return len(self.number.text.partition(".")[2])

    def told(self) -> str:
        """Ours as text: mean, standard deviation over seeds, how many."""
        if not self.values:
            return NONE
        text = f"{fmean(self.values):.{self.digits}f}"
        if len(self.values) > 1:
            text += f" ± {stdev(self.values):.{self.digits}f}"
        return f"{text} (short)" if self.short else text


def compared(name: str, found: Mapping[Setting, Mapping[int, Found]]) -> list[Compared]:
    """Every number of a table beside ours."""
    numbers = published.look_up(name).numbers
    sweeps = [published.read(name, profile=profile, seeds=1) for profile in PROFILES]
    by_profile = [_by_cell(sweep, found) for sweep in sweeps]
    baselines = [_baselines(cells) for cells in by_profile]
    short = by_profile[PROFILES.index("short")]
    return [
        replace(one, clean=_clean(one.number, numbers, short)) if one.short else one
        for one in (_compared(number, by_profile, baselines) for number in numbers)
    ]


def _clean(
    number: published.Number, numbers: Sequence[published.Number], cells: Sequence[tuple[Cell, dict[int, Found]]]
) -> float | None:
    """What was measured of the cell that a paper's accuracy without attack is of, in per cent."""
    for other in numbers:
        if (other.rule, other.attack, other.figure) == (
            "mean",
            "no-attack",
            number.figure,
        ) and other.value == number.clean:
            rows = [one.row for cell, of_cell in cells if other.of(cell) for one in of_cell.values()]
            known = [value for row in rows if (value := published.measured(other, row)) is not None]
            return fmean(known) if known else None
    return None


def _by_cell(sweep: Sweep, found: Mapping[Setting, Mapping[int, Found]]) -> list[tuple[Cell, dict[int, Found]]]:
    """The cells of a sweep of one seed, each with what was measured of its setting, by seed."""
    return [(cell, dict(found.get(setting_of(cell.spec), {}))) for cell in sweep.cells]


def _baselines(cells: Iterable[tuple[Cell, dict[int, Found]]]) -> float | None:
    """The mean best accuracy of the group that is called so, in per cent; None where there is none."""
    best = [one.row.best for cell, of_cell in cells if cell.group == "baseline" for one in of_cell.values()]
    known = [100 * value for value in best if value is not None]
    return fmean(known) if known else None


def _compared(
    number: published.Number,
    by_profile: Sequence[Sequence[tuple[Cell, dict[int, Found]]]],
    baselines: Sequence[float | None],
) -> Compared:
    for profile, cells, baseline in zip(PROFILES, by_profile, baselines, strict=True):
        ours = [one for cell, of_cell in cells if number.of(cell) for one in of_cell.values()]
        values = {one: published.measured(number, one.row, baseline) for one in ours}
        known = {one: value for one, value in values.items() if value is not None}
        if known:
            return Compared(
                number=number,
                values=tuple(known.values()),
                short=profile is not None,
                where=tuple(dict.fromkeys((one.where, one.row.code) for one in known)),
            )
    return Compared(number=number)


# --- explanations ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why some numbers differ, written by hand."""

    published: str
    match: Mapping[str, str]
    text: str

    def fits(self, name: str, number: published.Number) -> bool:
        return name == self.published and all(getattr(number, key) == value for key, value in self.match.items())


def explanations(file: Path) -> list[Explanation]:
    """What was written by hand.

    Raises:
        SystemExit: a table that is not published, or a key that no number has.
    """
    if not file.exists():
        return []
    found = []
    for entry in tomllib.loads(file.read_text(encoding="utf-8")).get("explanation", []):
        match = entry.get("match", {})
        if entry.get("published") not in published.names():
            sys.exit(f"{file}: nothing is published as {entry.get('published')!r}; see `fedward list published`")
        if wrong := match.keys() - set(MATCHED):
            sys.exit(f"{file}: {', '.join(sorted(wrong))}: match takes {', '.join(MATCHED)}")
        found.append(Explanation(published=entry["published"], match=match, text=" ".join(entry["text"].split())))
    return found


# --- the page -------------------------------------------------------------------------------------------------


def page(results: Path, explained: Sequence[Explanation], names: Sequence[str]) -> str:
    """The page about what is published under these names."""
    found = all_found(results)
    every = {name: compared(name, found) for name in names}
    parts = [HEAD, _summary(every)]
    parts += [_section(name, rows, explained, found) for name, rows in every.items()]
    return "\n".join(parts)


def _summary(every: Mapping[str, Sequence[Compared]]) -> str:
    lines = [
        "| | numbers | reproduced | the same in small | differs | of these in small | not run or not compared |",
        "|---" * 7 + "|",
    ]
    for name, rows in every.items():
        if rows:
            whole = counted(row.verdict for row in rows if not row.short)
            small = counted(row.verdict for row in rows if row.short)
            alike = (whole["reproduced"], small["reproduced"])
            differing = (whole["differs"] + small["differs"], small["differs"])
            figures = (len(rows), *alike, *differing, len(rows) - sum(alike) - differing[0])
            lines.append(f"| [{published.look_up(name).title}](#{name}) | {' | '.join(map(str, figures))} |")
    return "\n".join([*lines, ""])


def _section(
    name: str,
    rows: Sequence[Compared],
    explained: Sequence[Explanation],
    found: Mapping[Setting, Mapping[int, Found]],
) -> str:
    known = published.look_up(name)
    arxiv = f", arXiv:{known.arxiv}" if known.arxiv else ""
    lines = [f'<a id="{name}"></a>', f"## {known.title}", "", f"{known.paper}{arxiv}. {known.place}. `{name}`", ""]
    if known.note:
        lines += [known.note, ""]
    if not rows:
        return "\n".join([*lines, *_runs_told(name, found), ""])
    lines += [*_matrix(rows), ""]
    if places := sorted({place for row in rows for place in row.where}, key=str):
        told = ", ".join(f"results/{folder} (code {code or 'unknown'})" for folder, code in places)
        lines += [f"Ours: {told}; `python scripts/ages.py` says which are older than the code.", ""]
    return "\n".join([*lines, *_differing(name, rows, explained)])


def _matrix(rows: Sequence[Compared]) -> list[str]:
    """As the paper prints it: published, ours, and a mark, in each cell."""
    columns = list(dict.fromkeys(row.number.column for row in rows))
    lines = [f"| published / ours | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    by_row: dict[tuple[str, str], dict[str, Compared]] = {}
    for row in rows:
        by_row.setdefault((row.number.row, row.number.note), {})[row.number.column] = row
    for cells in by_row.values():
        shown = [_cell(cells[column]) if column in cells else "" for column in columns]
        lines.append(f"| {_titled(next(iter(cells.values())).number)} | {' | '.join(shown)} |")
    return lines


def _titled(number: published.Number) -> str:
    """The row that a number stands in, and what should be known of it."""
    return f"{number.row} ({number.note})" if number.note else number.row


def _cell(row: Compared) -> str:
    relation = "" if row.number.relation == "=" else f"{row.number.relation} "
    return f"{relation}{row.number.text} / {row.told()} {row.mark}".rstrip()


def _differing(name: str, rows: Sequence[Compared], explained: Sequence[Explanation]) -> list[str]:
    """A paragraph for each that differs; those with the same explanation share it."""
    by_text: dict[str, list[Compared]] = {}
    for row in rows:
        if row.verdict == "differs":
            fitting = [one.text for one in explained if one.fits(name, row.number)]
            by_text.setdefault(fitting[-1] if fitting else "", []).append(row)
    lines: list[str] = []
    for text, differing in by_text.items():
        told = "; ".join(
            f"{_titled(row.number)}, {row.number.column}: {row.number.text} / {row.told()}, {len(row.values)} "
            f"seed{'s' if len(row.values) > 1 else ''}"
            for row in differing
        )
        lines += [f"**Differs:** {told}. {text or 'Nobody has looked into it yet.'}", ""]
    return lines


def _runs_told(name: str, found: Mapping[Setting, Mapping[int, Found]]) -> list[str]:
    """Of curves, how many cells were run."""
    told = []
    for profile in PROFILES:
        cells = _by_cell(published.read(name, profile=profile, seeds=1), found)
        done = [of_cell for _, of_cell in cells if of_cell]
        folders = sorted({one.where for of_cell in done for one in of_cell.values()})
        at = f" ({', '.join(f'results/{folder}' for folder in folders)})" if folders else ""
        told.append(f"{len(done)} of {len(cells)} cells in the {profile or 'published'} setting{at}")
    return [f"Run: {'; '.join(told)}."]


def main() -> None:
    write_whole(PAGE, page(ROOT / "results", explanations(EXPLANATIONS), published.names()).rstrip("\n") + "\n")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
