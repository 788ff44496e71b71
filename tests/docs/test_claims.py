"""Claims compare runs of one length and of the same seeds, and say so where they show nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FLIP = "sign-flip:scale=4"
ALWAYS = "false-alarms:inner=(sign-flip:scale=4)"
ATTACKS = (FLIP, ALWAYS, "label-flip")


@pytest.fixture(scope="module")
def claims() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        from tables import claims_siren

        yield claims_siren


@pytest.fixture(scope="module")
def as_long(claims: ModuleType) -> Callable[..., list[dict[str, Any]]]:
    found: Callable[..., list[dict[str, Any]]] = claims.as_long
    return found


def run(**accuracies: float) -> dict[str, Any]:
    curve = {number.removeprefix("r"): value for number, value in accuracies.items()}
    return {"accuracy_by_round": curve, "best_accuracy": max(curve.values()), "final_accuracy": [*curve.values()][-1]}


def test_a_reference_is_compared_as_it_was_after_as_many_rounds(
    as_long: Callable[..., list[dict[str, Any]]],
) -> None:
    reference = run(r2=0.5, r10=0.7, r40=0.8)
    assert as_long([reference], [run(r2=0.4, r10=0.6)]) == [run(r2=0.5, r10=0.7)]
    assert as_long([reference], [run(r40=0.75)]) == [reference]
    assert as_long([reference], [run(r40=0.75), run(r10=0.6)]) == [run(r2=0.5, r10=0.7)]
    assert as_long([reference], []) == [reference]


def written(results: Path, runs: dict[str, dict[str, Any]]) -> Path:
    """A folder of results with these runs of SIREN."""
    (results / "siren").mkdir()
    (results / "siren" / "runs.json").write_text(json.dumps(runs))
    return results


def tried(*accuracies: float) -> dict[str, Any]:
    """A run of these tests, one a round."""
    found = run(**{f"r{number}": value for number, value in enumerate(accuracies, 1)})
    return {**found, "config": {"evaluate_every": 1, "seed": 0}}


def seeds(name: str, *lasts: float) -> dict[str, dict[str, Any]]:
    """Runs of a name that end so, one a seed."""
    found = {f"{name}, seed {seed}" if seed else name: tried(value) for seed, value in enumerate(lasts)}
    for seed, each in enumerate(found.values()):
        each["config"]["seed"] = seed
    return found


def row(claims: ModuleType, said: str, results: Path) -> tuple[str, str]:
    """Figure and verdict of a claim."""
    claim = next(claim for claim in claims.SIREN if claim.said.startswith(said))
    return tuple(claim.row(results)[-2:])


def test_runs_that_are_the_same_show_nothing(claims: ModuleType, tmp_path: Path) -> None:
    def judged(name: str, *without: float) -> tuple[str, str]:
        (tmp_path / name).mkdir()
        named = {f"iid-40/siren under {attack}": tried(*[0.5] * 6, 0.7) for attack in ATTACKS}
        other = {f"angles/siren:weight_analysis=False under {a}": tried(*[0.5] * 6, 0.7) for a in ATTACKS}
        other[f"angles/siren:weight_analysis=False under {FLIP}"] = tried(*without)
        return row(claims, "angles between updates", written(tmp_path / name, {**named, **other}))

    text, verdict = judged("same", *[0.5] * 6, 0.7)
    assert verdict == "shows nothing"
    assert text.startswith("50.0 against 50.0")
    assert text.endswith("every test the same")
    text, verdict = judged("tied", *[0.5] * 6, 0.6)
    assert (verdict, "same" in text) == ("shows nothing", False)
    assert judged("better", *[0.5] * 5, 0.4, 0.7)[1] == "holds"
    assert judged("worse", *[0.5] * 5, 0.6, 0.7)[1] == "**does not**"


OURS, KRUM = f"iid-40/siren under {FLIP}", f"others-40/krum:f=4,bound=definition under {FLIP}"


def test_several_seeds_are_not_compared_with_one(claims: ModuleType, tmp_path: Path) -> None:
    runs = seeds(OURS, 0.7, 0.9, 0.9) | seeds(KRUM, 0.75)
    assert row(claims, "better than Krum", written(tmp_path, runs)) == ("70.0 against 75.0", "not run yet")


@pytest.mark.parametrize(
    ("krum", "figure", "verdict"),
    [
        ((0.6, 0.8, 0.7, 0.99), "70.0 (60.0 to 80.0, 3 seeds), ahead in 3 of 3", "holds"),
        ((0.75, 0.75, 0.84), "78.0 (75.0 to 84.0, 3 seeds), ahead in 1 of 3", "shows nothing"),
        ((0.8, 0.95, 0.6), "78.3 (60.0 to 95.0, 3 seeds), ahead in 1 of 3", "shows nothing"),
        ((0.8, 0.9, 0.85), "85.0 (80.0 to 90.0, 3 seeds), ahead in none of 3", "**does not**"),
        ((0.7, 0.9, 0.8), "80.0 (70.0 to 90.0, 3 seeds), ahead in none of 3", "shows nothing"),
    ],
)
def test_a_mean_is_above_another_if_every_seed_is(
    claims: ModuleType, tmp_path: Path, krum: tuple[float, ...], figure: str, verdict: str
) -> None:
    found = row(claims, "better than Krum", written(tmp_path, seeds(OURS, 0.7, 0.9, 0.8) | seeds(KRUM, *krum)))
    assert found == (f"80.0 (70.0 to 90.0, 3 seeds) against {figure}", verdict)


def test_no_claim_on_the_page_has_more_seeds_on_one_side() -> None:
    page = (ROOT / "results" / "claims.md").read_text(encoding="utf-8")
    sides = [cell.split(" against ") for cell in re.findall(r"\| ([\d.]+ [^|]* against [\d.][^|]*) (?=\|)", page)]
    assert sides
    for side in sides:
        assert len({frozenset(re.findall(r"(\d+) seeds", part)) for part in side}) == 1, " against ".join(side)


def test_no_verdict_hangs_on_figures_that_are_the_same(monkeypatch: pytest.MonkeyPatch, claims: ModuleType) -> None:
    from tables import claims_desgd, claims_fedseca

    tied: list[float] = []

    def at_least(a: float | None, b: float | None) -> bool | None:
        if a is None or b is None:
            return None
        tied.extend([a] * (a == b))
        return a >= b

    modules = {claims: claims.SIREN, claims_desgd: claims_desgd.DESGD, claims_fedseca: claims_fedseca.FEDSECA}
    for module, every in modules.items():
        monkeypatch.setattr(module, "at_least", at_least)
        for claim in every:
            tied.clear()
            verdict = claim.row(ROOT / "results")[-1]
            assert not tied or verdict == "shows nothing", f"{claim.said}: {tied}"
