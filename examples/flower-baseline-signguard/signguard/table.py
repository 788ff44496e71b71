"""A table of the paper in one command: ``python -m signguard.table --data fashion-mnist``.

Every cell is the app, clients one after the other in this process. The best test accuracy of all rounds, in per cent,
as in the paper; one seed.
"""

import argparse
import logging
import tomllib
from pathlib import Path
from typing import Any

from fedward.flower.testing import InProcess

from .client_app import app
from .server_app import cell

RULES = {
    "Mean": "mean",
    "TrMean": "trimmed-mean:f={f}",
    "Median": "median",
    "GeoMed": "geometric-median",
    "Multi-Krum": "multi-krum:f={f}",
    "Bulyan": "bulyan:f={f}",
    "DnC": "dnc:f={f}",
    "SignGuard": "sign-guard",
    "SignGuard-Sim": "sign-guard-sim",
    "SignGuard-Dist": "sign-guard-dist",
}
ATTACKS = {
    "No attack": "no-attack",
    "Random": "random",
    "Noise": "noise",
    "Label-flip": "label-flip",
    "ByzMean": "byz-mean",
    "Sign-flip": "sign-flip",
    "LIE": "alie",
    "Min-Max": "min-max",
    "Min-Sum": "min-sum",
}


def configuration() -> dict[str, Any]:
    """The app's, from its ``pyproject.toml``."""
    file = Path(__file__).parents[1] / "pyproject.toml"
    return dict(tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["flwr"]["app"]["config"])


def table(rules: list[str], attacks: list[str], **config: Any) -> dict[tuple[str, str], float]:
    """Best accuracies, in per cent, by rule and attack; each is printed when it is there."""
    whole = {**configuration(), **config}
    found = {}
    for rule in rules:
        for attack in attacks:
            chosen = {"rule": RULES[rule].format(f=whole["byzantine"]), "attack": ATTACKS[attack]}
            grid = InProcess(app, nodes=range(1, 1 + whole["clients"]), run_config={**whole, **chosen})
            found[rule, attack] = 100 * max(cell(grid, {**whole, **chosen}).values())
            print(f"{rule}, {attack}: {found[rule, attack]:.2f}", flush=True)
    return found


def markdown(found: dict[tuple[str, str], float]) -> str:
    """The table as a page shows it."""
    rules, attacks = dict.fromkeys(rule for rule, _ in found), dict.fromkeys(attack for _, attack in found)
    lines = [["", *attacks], ["---"] * (1 + len(attacks))]
    lines += [[rule, *(f"{found[rule, attack]:.2f}" for attack in attacks)] for rule in rules]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist-subset")
    parser.add_argument("--data-path", default="", help="folder with the data set's files")
    parser.add_argument("--model", default="signguard-cnn")
    parser.add_argument("--batch-size", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1200)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--byzantine", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    given = vars(parser.parse_args())
    logging.getLogger("flwr").setLevel(logging.ERROR)
    rules, attacks = given.pop("rules"), given.pop("attacks")
    print(markdown(table(rules, attacks, **{name.replace("_", "-"): value for name, value in given.items()})))


if __name__ == "__main__":
    main()
