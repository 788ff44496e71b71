"""What has changed in the folders of results since a commit, as tables in Markdown: old figure and new one.

python scripts/compare_results.py                      # since HEAD, of all folders
python scripts/compare_results.py --since v1 redteam   # since another commit, of some
python scripts/compare_results.py --all signguard      # what has stayed as well
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from experiments import RESULTS, ROOT, names
from tables.pieces import number, table

from fedward.experiments.versions import git
from fedward.redteam import Examination, label
from fedward.redteam.findings import read_examination

Figures = Mapping[str, Mapping[str, str]]


def figures(read: Tree | Past, name: str) -> Figures:
    """What a folder says, by run or rule, then by what was measured."""
    found: dict[str, dict[str, str]] = {}
    if (text := read(f"results/{name}/runs.json")) is not None:
        for run, values in json.loads(text).items():
            found[run] = dict(_of_run(values))
    for path in read.findings(name):
        examination = read_examination((read(path) or "").rstrip() + "\n", path)
        found[examination.rule] = dict(_of_examination(examination))
    if (text := read(f"results/{name}/flower.json")) is not None:
        for run in json.loads(text)["runs"]:
            last = run["accuracies"][-5:]
            said = "ended" if run["error"] else number(100 * sum(last) / len(last))
            model = f" ({run['model']})" if "model" in run else ""
            found[f"{run['strategy']}: {run['attack']}{model}"] = {"accuracy": said}
    return found


def _of_run(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, title in (("best_accuracy", "best"), ("final_accuracy", "last")):
        yield title, number(None if run[key] is None else 100 * run[key], 2)
    for key, title in (("byzantine_accepted", "byzantine"), ("honest_accepted", "honest")):
        yield title, "-" if run[key] is None else number(run[key], 3)
    yield "rounds", str(run["rounds"])


def _of_examination(examination: Examination) -> Iterator[tuple[str, str]]:
    if examination.findings:
        _, worst = examination.worst()[0]
        yield "worst", f"{label(worst.attack)}, {worst.kappa:.3g}"
    untouched = examination.untouched
    yield "without attack", number(None if untouched is None else 100 * untouched)
    for attack, lowest in examination.trained[:1]:
        yield "lowest", f"{number(100 * lowest)} ({label(attack)})"


class Tree:
    """Files as they lie in the checkout."""

    def __call__(self, path: str) -> str | None:
        file = ROOT / path
        return file.read_text(encoding="utf-8") if file.exists() else None

    def findings(self, name: str) -> list[str]:
        files = sorted((RESULTS / name).glob("findings/*.jsonl"))
        return [str(file.relative_to(ROOT)) for file in files]


class Past:
    """Files as they were at a commit."""

    def __init__(self, commit: str) -> None:
        self.commit = commit
        if git("rev-parse", "--verify", f"{commit}^{{commit}}", folder=ROOT) is None:
            raise SystemExit(f"git knows no commit {commit!r}")

    def __call__(self, path: str) -> str | None:
        return git("show", f"{self.commit}:{path}", folder=ROOT)

    def findings(self, name: str) -> list[str]:
        listed = git("ls-tree", "--name-only", self.commit, f"results/{name}/findings/", folder=ROOT)
        return sorted((listed or "").split("\n")) if listed else []


def compared(old: Figures, new: Figures, everything: bool = False) -> str:
    """A row a run that has changed: what was, an arrow, what is."""
    titles = list(dict.fromkeys(title for values in (*old.values(), *new.values()) for title in values))
    rows = []
    for name in [*new, *(name for name in old if name not in new)]:
        before = old.get(name, {})
        after = new.get(name, {})
        if everything or before != after:
            rows.append([name, *(_cell(before.get(t), after.get(t)) for t in titles)])
    same = sum(old.get(name) == new[name] for name in new)
    if not rows:
        return f"All {same} are as they were."
    return f"{table(['', *titles], rows)}\n\n{same} of {len(new)} are as they were."


def _cell(before: str | None, after: str | None) -> str:
    texts = ["-" if text is None else text for text in (before, after)]
    return texts[1] if texts[0] == texts[1] else " -> ".join(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="folders of results; all if none is named")
    parser.add_argument("--since", default="HEAD", metavar="COMMIT")
    parser.add_argument("--all", action="store_true", help="what has stayed as well")
    given = parser.parse_args()
    for name in given.names or names():
        old = figures(Past(given.since), name)
        new = figures(Tree(), name)
        if old or new:
            print(f"## {name}\n\n{compared(old, new, given.all)}\n")


if __name__ == "__main__":
    main()
