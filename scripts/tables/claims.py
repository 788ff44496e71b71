"""The page that goes claim by claim through the papers: our figure beside each, and whether the claim holds here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .claim import Claim
from .claims_desgd import DESGD
from .claims_fedseca import FEDSECA
from .claims_siren import SIREN
from .pieces import table


def claimed_table(claims: Sequence[Claim]) -> Callable[[Path], str]:
    head = ["claim", "place", "tried with", "holds if", "figure", "verdict"]
    return lambda results: table(head, (claim.row(results) for claim in claims))


CLAIMS: Mapping[str, Callable[[Path], str]] = {
    "siren": claimed_table(SIREN),
    "desgd": claimed_table(DESGD),
    "fedseca": claimed_table(FEDSECA),
}
