"""The tables of the READMEs, made of the figures that the folders of results hold.

    python scripts/results_tables.py            # say which READMEs are out of date
    python scripts/results_tables.py --write    # write their tables anew

A table stands in a README between ``<!-- NAME -->`` and ``<!-- /NAME -->``; what makes it is the function of that name
in ``scripts/tables``, which knows the folder's data and nothing else.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the benchmarks, whose tables these are as well
sys.path.insert(0, str(Path(__file__).parent))
from tables import agreement, claims, desgd, fedseca, others, runs, siren, workloads
from tables.pieces import PENDING

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
Block = Callable[[Path], str]

# By page: what its blocks are made from, with the folder that holds the data; "." for all of them.
PAGES: Mapping[str, tuple[str, Mapping[str, Block]]] = {
    "results/agreement/README.md": ("agreement", agreement.AGREEMENT),
    "results/behaviour/README.md": ("behaviour", runs.BEHAVIOUR),
    "results/desgd/README.md": ("desgd", desgd.DESGD),
    "results/desgd-cnn/README.md": ("desgd-cnn", desgd.DESGD_CNN),
    "results/fedseca/README.md": ("fedseca", fedseca.FEDSECA),
    "results/fedseca-cifar10/README.md": ("fedseca-cifar10", fedseca.CIFAR),
    "results/flower/README.md": ("flower", others.FLOWER),
    "results/lora/README.md": ("lora", workloads.LORA),
    "results/memory/README.md": ("memory", others.MEMORY),
    "results/redteam/README.md": ("redteam", others.REDTEAM),
    "results/signguard/README.md": ("signguard", runs.SIGNGUARD),
    "results/signguard-table1-short/README.md": ("signguard-table1-short", {}),  # its table is table.md
    "results/siren/README.md": ("siren", siren.SIREN),
    "results/time-varying/README.md": ("time-varying", runs.TIME_VARYING),
    "results/unlike/README.md": ("unlike", {}),  # its table is table.md
    "results/workloads/README.md": ("workloads", workloads.WORKLOADS),
    "results/claims.md": (".", claims.CLAIMS),
}
_BLOCK = re.compile(r"<!-- (?P<name>[\w-]+) -->\n(?P<text>.*?)<!-- /(?P=name) -->\n", re.DOTALL)


def filled(page: str) -> str:
    """A README with its blocks made anew.

    Raises:
        ValueError: the page lacks a block, has an unknown one, or the folder lacks a run.
    """
    folder, blocks = PAGES[page]
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [match["name"] for match in _BLOCK.finditer(text)]
    if sorted(found) != sorted(blocks):
        raise ValueError(f"{page} has the blocks {', '.join(found)}; there are to be {', '.join(blocks)}")

    new = {name: blocks[name](RESULTS / folder).rstrip() for name in found}
    if "made" in new and any(PENDING in block for block in new.values()):
        new["made"] += f" `{PENDING}` is not run yet."
    return _BLOCK.sub(lambda at: f"<!-- {at['name']} -->\n{new[at['name']]}\n<!-- /{at['name']} -->\n", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="folders of results; all if none is named")
    parser.add_argument("--write", action="store_true", help="write what is out of date")
    given = parser.parse_args()
    old = []
    for page, (folder, _) in PAGES.items():
        if given.names and folder not in (*given.names, "."):
            continue
        text = filled(page)
        if text != (ROOT / page).read_text(encoding="utf-8"):
            old.append(page)
            if given.write:
                (ROOT / page).write_text(text, encoding="utf-8")
    for page in old:
        print(f"{page} {'is written anew' if given.write else 'is out of date: --write'}")
    raise SystemExit(bool(old) and not given.write)


if __name__ == "__main__":
    main()
