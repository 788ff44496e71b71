"""Tables and claims take all seeds that both sides of a comparison have, and what was published before has its heir."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ALIE = "alie:z=1"


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        import results_tables

        yield results_tables


def run(best: float, last: float, **other: Any) -> dict[str, Any]:
    """A run with these accuracies in per cent."""
    named = {"seed": other.pop("seed", 0), "rounds": 50}
    return {"config": named, "best_accuracy": best / 100, "final_accuracy": last / 100, **other}


def over_seeds(name: str, *runs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Runs by the names that they have with the seeds from 0 on."""
    return {
        name + f", seed {seed}" * bool(seed): {**one, "config": {**one["config"], "seed": seed}}
        for seed, one in enumerate(runs)
    }


def written(folder: Path, runs: Mapping[str, Any]) -> Path:
    """A folder of results as it is specified, with these runs."""
    shutil.copytree(ROOT / "results" / folder.name, folder, ignore=shutil.ignore_patterns("*.svg", "README.md"))
    (folder / "runs.json").write_text(json.dumps(runs))
    return folder


def row(table: str, *cells: str) -> list[str]:
    """The first row that begins with these cells."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return next(line for line in lines if tuple(line[: len(cells)]) == cells)


def test_what_is_ahead_is_counted_over_the_seeds_of_both_sides(tables: ModuleType, tmp_path: Path) -> None:
    runs = {
        **over_seeds(f"without/dnc under {ALIE}", run(80, 70), run(78, 70), run(70, 50)),
        **over_seeds(f"with/class-wise:base=dnc under {ALIE}", run(84, 81), run(80, 83)),  # no seed 2
        **over_seeds("without/dnc under ipm", run(80, 79)),
        **over_seeds("with/class-wise:base=dnc under ipm", run(80.5, 70)),
    }
    ahead = tables.desgd.DESGD["ahead"](written(tmp_path / "desgd", runs))
    told = ["+3.0 (+2.0 to +4.0, 2 seeds)", "+12.0 (+11.0 to +13.0, 2 seeds)"]
    assert row(ahead, "DnC", "ALIE, z = 1")[2:4] == told
    assert row(ahead, "DnC", "IPM")[2:4] == ["+0.5", "-9.0"]
    assert row(ahead, "TrimmedMean", "IPM")[2:4] == ["...", "..."]


def test_drops_are_told_by_the_best_test_and_by_the_last(tables: ModuleType, tmp_path: Path) -> None:
    runs = {
        **over_seeds("baseline/mean under no-attack", run(88, 80), run(90, 82)),
        **over_seeds("baseline-0.01/mean under no-attack", run(87, 87), run(85, 85)),
        **over_seeds(f"with/class-wise:base=dnc under {ALIE}", run(84, 84), run(85, 80), run(10, 10)),
        **over_seeds(f"without/bucketing:s=2 >> dnc under {ALIE}", run(80, 70)),
    }
    drops = tables.desgd.DESGD["drops"](written(tmp_path / "desgd", runs))
    # By the best test the one learning rate is the better, by the last the other; seed 2 has nothing to drop from.
    assert row(drops, "DnC", "best")[4::4] == ["8.0", "4.5 (4.0 to 5.0, 2 seeds)"]
    assert row(drops, "DnC", "last")[4::4] == ["17.0", "4.0 (3.0 to 5.0, 2 seeds)"]


def test_who_loses_less_than_with_bucketing_is_asked_by_both_tests(tables: ModuleType, tmp_path: Path) -> None:
    from tables.claims_desgd import DESGD
    from tables.desgd import WITHIN, wrapped

    runs = {}
    for base in ("multi-krum", "trimmed-mean", "dnc", "cosine-clustering:linkage=complete"):
        runs[f"with/{wrapped(WITHIN[base])} under {ALIE}"] = run(81, 75)
        runs[f"without/bucketing:s=2 >> {base} under {ALIE}"] = run(80, 76)
    written(tmp_path / "desgd-cnn", runs)
    found = {claim.setting: claim.row(tmp_path)[-1] for claim in DESGD if "bucketing" in claim.said}
    verdicts = {which: next(found[key] for key in found if f"{which} test" in key) for which in ("best", "last")}
    assert verdicts == {"best": "holds", "last": "**does not**"}


def test_shares_of_accepted_clients_are_over_all_seeds(tables: ModuleType, tmp_path: Path) -> None:
    rule, accepted = "cosine-clustering:linkage=complete", {"byzantine_accepted": 0.5, "honest_accepted": None}
    runs = over_seeds(f"without/{rule} under {ALIE}", *(run(80, 80, **accepted) for _ in range(2)))
    runs[f"without/{rule} under {ALIE}, seed 1"]["byzantine_accepted"] = 0.7
    linkages = tables.desgd.DESGD["linkages"](written(tmp_path / "desgd", runs))
    assert row(linkages, "complete")[1:] == ["0.60 (0.50 to 0.70, 2 seeds)", "-", "...", "..."]


def voted(*ratios: list[float]) -> dict[str, Any]:
    return run(80, 80, concordance={str(number + 1): found for number, found in enumerate(ratios)})


def test_votes_are_counted_over_all_seeds(tables: ModuleType, tmp_path: Path) -> None:
    from tables.claims_fedseca import FEDSECA

    out, within = [1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.5, 0.5]
    runs = {}
    for attack in tables.fedseca.SEVEN:
        runs |= over_seeds(
            f"rules/{tables.fedseca.OURS} under {attack}", voted(out, out), voted(within, within), voted(out, within)
        )
    folder = written(tmp_path / "fedseca", runs)
    counted = row(tables.fedseca.FEDSECA["ratios"](folder), "ALIE")
    assert counted == ["ALIE", "3", "0.83 (0.0 to 1.0)", "0.25 (0.0 to 0.5)", "3 of 6", "3 of 6"]
    claim = next(claim for claim in FEDSECA if "concordance" in claim.said)
    assert claim.row(tmp_path)[-2:] == ["0 of 7", "**does not**"]  # of seed 0 alone it would be all seven


def test_mimic_is_told_seed_by_seed(tables: ModuleType, tmp_path: Path) -> None:
    runs = {
        **over_seeds("others/median under no-attack", run(88, 88)),
        **over_seeds("others/median under mimic:target=1", run(70, 70), run(80, 80), run(90, 90)),
        **over_seeds("others/median under mimic:target=2", run(83, 83), run(84, 84)),
    }
    mimic = tables.fedseca.FEDSECA["mimic"](written(tmp_path / "fedseca", runs))
    assert row(mimic, "Median", "0")[2:] == ["88.0", "...", "70.0", "83.0", "..."]
    assert row(mimic, "Median", "2")[2:] == ["...", "...", "90.0", "...", "..."]
    mean = ["88.0", "...", "80.0 ± 10.0 (3 seeds)", "83.5 ± 0.7 (2 seeds)", "..."]
    assert row(mimic, "Median", "mean")[2:] == mean


@pytest.mark.parametrize("name", ["desgd", "fedseca"])
def test_every_figure_of_before_is_beside_one_of_now_or_beside_words(tables: ModuleType, name: str) -> None:
    import experiments

    blocks = {"desgd": tables.desgd.DESGD, "fedseca": tables.fedseca.FEDSECA}[name]
    now = set(experiments.run_names(ROOT / "results" / name))
    before = blocks["before"](ROOT / "results" / name).splitlines()
    assert before[0].endswith("| changed since |")
    for line in before[2:]:
        run_of_before, _, *figures, changed = [cell.strip() for cell in line.strip("|").split("|")]
        assert changed or run_of_before in now, f"{run_of_before} is not run any more, and nothing says what is"
        assert changed or "-" not in figures


def test_each_of_fedsecas_old_runs_has_an_heir_that_is_run(tables: ModuleType) -> None:
    import experiments

    now = set(experiments.run_names(ROOT / "results" / "fedseca"))
    old = json.loads((ROOT / "results" / "fedseca" / "before.json").read_text())
    assert {tables.fedseca.heir(name)[0] for name in old} <= now
    assert tables.fedseca.heir("long/fedseca:momentum=0.5 under mimic:warmup=5")[0] == (
        "rules/fedseca:momentum=0.5 under mimic:target=first-round"
    )
    tailored, words = tables.fedseca.heir("others/krum:f=1 under min-max:direction=unit")
    assert tailored == "others/krum:f=2,bound=definition under tailored-min-max:direction=unit"
    assert words == "clients 3 and 4 byzantine; f = 2 for 1; asks the rule"
