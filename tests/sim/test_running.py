"""Running statistics under attack: forged by the factors of the rows, and medians outlive what means do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedward as fw
from fedward import attacks, rules
from fedward.clients import ClassMomentum, Gradient, LocalSGD
from fedward.experiments.spec import SpecError, make_spec
from fedward.registry.entries import catalogue
from fedward.sim import Dataset, federate
from fedward.sim.checkpoint import load_checkpoint, save_checkpoint
from fedward.sim.cohort import Arrival, Arrivals
from fedward.sim.running import Statistics, forged_statistics, robust_buffers
from fedward.stack import Dense, Layout, median_of_running
from tests.oracles import running as oracle
from tests.sim.rounds import normed, split

N, M, CLASSES = 8, 3, 4
F64 = torch.float64


class Normed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


DATA = federate(Dataset(name="tiny", train=split(N * 40, 0), test=split(100, 1), classes=CLASSES), N)


BOOSTED = attacks.SignFlip(scale=10.0)


def simulation(**changes: Any) -> fw.Simulation:
    settings: dict[str, Any] = {
        "model": normed,
        "data": DATA,
        "rule": rules.Median(),
        "clients": LocalSGD(batch_size=10, lr=0.1),
        "byzantine": M,
        "attack": BOOSTED,
        "seed": 3,
    }
    return fw.Simulation(**{**settings, **changes})


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- forged -------------------------------------------------------------------------------------------------

ROWS = {"honest": normal(5, 30, seed=0), "own": normal(M, 30, seed=1)}
BEFORE = 3 + normal(6, seed=2)
SENT = {"honest": BEFORE + 0.3 * normal(5, 6, seed=3), "own": BEFORE + 0.3 * normal(M, 6, seed=4)}
CHANGE = {who: (sent.double() - BEFORE.double()).numpy() for who, sent in SENT.items()}


def forged(attack: attacks.Attack) -> Tensor:
    view = attacks.View(honest=Dense(ROWS["honest"]), own=Dense(ROWS["own"]))
    known = Statistics.of(view, list(SENT["honest"]), list(SENT["own"]), BEFORE)
    return forged_statistics(attack, view, attack.forged(view), known)


def expected(change: np.ndarray) -> Tensor:
    return (BEFORE.double() + torch.from_numpy(np.broadcast_to(change, (M, 6)).copy())).float()


FORMULAS: dict[str, tuple[attacks.Attack, Any]] = {
    "sign-flip": (attacks.SignFlip(scale=4.0), lambda: -4 * CHANGE["own"]),
    "scaling": (attacks.Scaling(factor=10.0), lambda: 10 * CHANGE["own"]),
    "ipm": (attacks.IPM(epsilon=0.5), lambda: -0.5 * CHANGE["honest"].mean(0)),
    "alie": (attacks.ALIE(z=1.5), lambda: oracle.mean_minus_spread(CHANGE["honest"], 1.5)),
    "zero": (attacks.Zero(), lambda: np.zeros(6)),
    "constant": (attacks.Constant(value=5.0), lambda: np.full(6, 5.0)),
    "mimic of the first": (attacks.Mimic(warmup=0), lambda: CHANGE["honest"][0]),
    "min-max": (
        attacks.MinMax(),
        lambda: oracle.mean_minus_spread(CHANGE["honest"], oracle.min_max_gamma(ROWS["honest"].double().numpy())),
    ),
    "schedule": (attacks.Schedule({0: attacks.IPM(epsilon=2.0)}), lambda: -2 * CHANGE["honest"].mean(0)),
    "groups": (
        attacks.Groups([attacks.IPM(epsilon=1.0), attacks.SignFlip()]),
        lambda: np.stack([-CHANGE["honest"].mean(0), -CHANGE["honest"].mean(0), -CHANGE["own"][2]]),
    ),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_the_change_of_the_statistics_is_treated_as_the_row_is(case: str) -> None:
    attack, change = FORMULAS[case]
    torch.testing.assert_close(forged(attack), expected(change()), rtol=1e-6, atol=1e-6)


def test_the_factor_of_the_rows_is_not_what_the_statistics_alone_would_give() -> None:
    own_gamma = oracle.min_max_gamma(CHANGE["honest"])
    assert own_gamma != pytest.approx(oracle.min_max_gamma(ROWS["honest"].double().numpy()), rel=0.05)


def test_who_behaves_sends_the_very_statistics_that_it_has() -> None:
    assert torch.equal(forged(attacks.NoAttack()), SENT["own"])


@pytest.mark.parametrize("entry", catalogue("attack", packaged=True), ids=lambda entry: entry.name)
def test_every_attack_forges_statistics_or_leaves_them(entry: Any) -> None:
    found = forged(entry.build())
    assert found.shape == (M, 6)
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all()) is (entry.name != "non-finite")


# --- what the server makes of them --------------------------------------------------------------------------

LAYOUT = Layout.of(
    {"a.running_mean": torch.zeros(3), "a.running_var": torch.ones(3), "b.table": torch.zeros(2)}, buffers=None
)
SERVER = torch.tensor([0.0, 10.0, -5.0, 1.0, 0.0, 9.0, 1.0, 2.0])


@pytest.mark.parametrize("n", [1, 2, 5, 6])
@pytest.mark.parametrize("size", [0.1, 30.0])
def test_medians_and_bounds_are_those_of_the_definition(n: int, size: float) -> None:
    sent = [SERVER + size * normal(8, seed=seed) for seed in range(n)]
    found = robust_buffers(LAYOUT, sent, SERVER)
    for column in range(8):
        kind = "mean" if column < 3 else "variance" if column < 6 else "other"
        variance = float(SERVER[column + 3]) if kind == "mean" else float("nan")
        value = oracle.bounded_median([float(row[column]) for row in sent], float(SERVER[column]), kind, variance)
        assert float(found[column]) == pytest.approx(value, rel=1e-6, abs=1e-7)


MADE_UP: dict[str, Tensor] = {
    "nan": torch.full((8,), torch.nan),
    "inf": torch.full((8,), torch.inf),
    "negative variances": torch.full((8,), -1e6),
    "huge": torch.full((8,), 3e38),
}


@pytest.mark.parametrize("made_up", MADE_UP.values(), ids=MADE_UP)
@pytest.mark.parametrize("liars", [1, 2, 3])
def test_a_minority_moves_nothing_beyond_what_honest_clients_send(made_up: Tensor, liars: int) -> None:
    server = SERVER.clamp_min(1)
    honest = [server + 0.2 * normal(8, seed=seed).abs() for seed in range(liars + 1)]
    for order in ([*honest, *[made_up] * liars], [*[made_up] * liars, *honest]):
        found = robust_buffers(LAYOUT, order, server)
        assert bool((found >= torch.stack(honest).amin(0) - 1e-6).all())
        assert bool((found <= torch.stack(honest).amax(0) + 1e-6).all())


@pytest.mark.parametrize("made_up", MADE_UP.values(), ids=MADE_UP)
def test_the_majority_itself_moves_a_model_no_farther_than_the_bound(made_up: Tensor) -> None:
    found = robust_buffers(LAYOUT, [made_up, made_up], SERVER)
    assert bool(found.isfinite().all())
    assert bool(((found[:3] - SERVER[:3]).abs() <= (SERVER[3:6] + 1e-5).sqrt() + 1e-6).all())
    assert bool((found[3:6] >= SERVER[3:6] / 4).all())
    assert bool((found[3:6] <= 4 * (SERVER[3:6] + 1e-5) * (1 + 1e-6)).all())
    assert torch.equal(found[6:], made_up[6:] if bool(made_up.isfinite().all()) else SERVER[6:])


def test_nobody_and_statistics_of_the_server_that_are_broken() -> None:
    assert torch.equal(robust_buffers(LAYOUT, [], SERVER), SERVER)
    assert median_of_running("a.running_mean", [], SERVER[:3]) is None
    broken = torch.full((8,), torch.nan)
    honest = [SERVER + i for i in range(3)]
    assert torch.equal(robust_buffers(LAYOUT, honest, broken), honest[1])
    widest = torch.full((1,), 1.7e308, dtype=F64)
    found = median_of_running("table", [widest, widest], widest)
    assert found is not None
    assert torch.equal(found, widest)


def test_statistics_that_are_sent_are_left_as_they_are() -> None:
    sent = [torch.full((8,), -2.0), torch.full((8,), -3.0)]
    robust_buffers(LAYOUT, sent, SERVER)
    assert [row.tolist() for row in sent] == [[-2.0] * 8, [-3.0] * 8]


# --- whole runs ---------------------------------------------------------------------------------------------


def accuracy(**changes: Any) -> float:
    *_, last = simulation(**changes).run(12, evaluate_every=12)
    assert last.accuracy is not None
    return last.accuracy


def test_forged_statistics_ruin_a_mean_and_neither_medians_nor_frozen_ones() -> None:
    untouched = accuracy(attack=None)
    under = {policy: accuracy(batch_norm=policy, forge="statistics") for policy in ("mean", "robust", "frozen")}
    assert under["mean"] < untouched - 0.2, under
    assert min(under["robust"], under["frozen"]) > untouched - 0.1, under


def test_a_rule_that_accepts_one_client_does_not_take_its_statistics() -> None:
    class FirstOnly(rules.Mean):
        def decide(self, updates: Any, state: Any, context: Any) -> Any:
            return fw.average_of(updates, torch.tensor([0]))

    def strayed(policy: str) -> float:
        """How far the statistics are from those that honest clients would have led to."""
        made = [simulation(rule=FirstOnly(), batch_norm=policy, forge="statistics", attack=a) for a in (BOOSTED, None)]
        for sim in made:
            list(sim.run(3))
        attacked, honest = (sim.progress.buffers for sim in made)
        assert attacked is not None
        assert honest is not None
        return float((attacked - honest).abs().max())

    assert strayed("robust") < 1
    assert strayed("mean") > 5


def test_under_a_rule_with_data_of_its_own_only_the_accepted_vote() -> None:
    class FirstOnly(rules.FLTrust):
        def decide(self, updates: Any, state: Any, context: Any) -> Any:
            return fw.average_of(updates, torch.tensor([N - 1]))

    sim = simulation(rule=FirstOnly(), batch_norm="robust", byzantine=N - 1, forge="statistics")
    collected: list[Any] = []
    messages = sim.backend.messages
    sim.backend.messages = lambda a, t, o: collected.append(messages(a, t, o)) or collected[-1]  # type: ignore[method-assign,func-returns-value]
    list(sim.run(1))
    assert sim.backend.buffer_layout is not None
    before = sim.backend.initial_buffers()
    assert before is not None
    alone = robust_buffers(sim.backend.buffer_layout, [collected[0][N - 1].buffers], before)
    assert torch.equal(sim.progress.buffers, alone)


def test_forging_statistics_changes_no_row_of_the_round() -> None:
    rows = {}
    for forge in ("rows", "both", "statistics"):
        sim = simulation(forge=forge, attack=attacks.MinMax())
        list(sim.run(1))
        rows[forge] = (sim.rows.clone(), sim.progress.buffers)
    assert torch.equal(rows["rows"][0], rows["both"][0])
    assert not torch.equal(rows["rows"][1], rows["both"][1])
    honest = simulation(attack=attacks.NoAttack())
    list(honest.run(1))
    assert torch.equal(rows["statistics"][0], honest.rows)


def test_frozen_statistics_stay_to_the_last_bit() -> None:
    sim = simulation(batch_norm="frozen", forge="both", byzantine=N - 1, attack=attacks.Constant(value=5.0))
    list(sim.run(3))
    assert torch.equal(sim.progress.buffers, sim.backend.initial_buffers())


def test_statistics_are_forged_in_rounds_of_several_classes() -> None:
    several = {"clients": ClassMomentum(batch_size=5, classes=2), "rule": rules.ClassWise(base=rules.Median())}
    runs = [simulation(**several, forge=forge) for forge in ("rows", "both")]
    for sim in runs:
        list(sim.run(2))
    assert not torch.equal(runs[0].progress.buffers, runs[1].progress.buffers)


def test_a_client_that_sends_rows_for_several_classes_votes_once() -> None:
    phases = simulation(batch_norm="robust")._phases
    before = phases.backend.initial_buffers()
    assert before is not None

    def arrival(client: int, group: int, buffers: Tensor) -> Arrival:
        return Arrival(client=client, id=(client, group), group=group, loss=0.0, messages={}, buffers=buffers)

    each = [arrival(0, 0, before + 1), arrival(0, 1, before + 1), arrival(1, 0, before), arrival(2, 1, before)]
    arrivals = Arrivals(each=tuple(each), honest=(2, 3), byzantine=(0, 1), postponed={}, states={})
    assert torch.equal(phases._running(arrivals, [True] * 4, before), before)


RUNS: dict[str, dict[str, Any]] = {
    "late": {"late": 0.25, "forge": "both", "batch_norm": "robust"},
    "remembering": {"attack": attacks.Repeat(), "forge": "both"},
    "learning": {"attack": attacks.Mimic(warmup=3), "forge": "statistics", "batch_norm": "robust"},
    "noise": {"attack": attacks.Gaussian(), "forge": "both", "clients": Gradient(batch_size=10)},
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_that_was_interrupted_is_the_run_that_was_not(case: str, tmp_path: Path) -> None:
    whole = simulation(**RUNS[case])
    list(whole.run(5))
    for rounds in (2, 5):
        parted = simulation(**RUNS[case])
        list(parted.run(rounds, checkpoint=tmp_path / "run.pt"))
    assert torch.equal(parted.progress.parameters, whole.progress.parameters)
    assert torch.equal(parted.progress.buffers, whole.progress.buffers)


def test_a_checkpoint_from_before_there_was_a_choice_is_of_forged_rows(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    list(simulation().run(2, checkpoint=path))
    saved = load_checkpoint(path, simulation().identity)
    assert saved["identity"].pop("forge") == "rows"
    content = {key: value for key, value in saved.items() if key not in ("format", "identity")}
    save_checkpoint(path, saved["identity"], content)
    list(simulation().run(3, checkpoint=path))
    save_checkpoint(path, saved["identity"], content)
    with pytest.raises(fw.sim.CheckpointError, match="forge was 'rows', now 'both'"):
        list(simulation(forge="both").run(3, checkpoint=path))


def test_there_must_be_statistics_to_forge_them_alone() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))
    with pytest.raises(ValueError, match="a model that has running statistics, and this one has none"):
        simulation(model=plain, forge="statistics")
    with pytest.raises(ValueError, match="forge"):
        simulation(forge="nothing")
    list(simulation(model=plain, forge="both").run(1))


def test_a_specification_says_what_is_forged() -> None:
    setting = {"data": "fashion-mnist-subset", "rule": "median", "clients": 5, "byzantine": 2, "batch_norm": "robust"}
    spec = make_spec({**setting, "model": f"{__name__}.Normed", "forge": "both"})
    made = spec.simulation()
    assert (made.forge, made.batch_norm) == ("both", "robust")
    with pytest.raises(SpecError, match="and this one has none"):
        make_spec({**setting, "model": "linear", "forge": "statistics"}).simulation()
    with pytest.raises(SpecError, match="'rows', 'both' or 'statistics'"):
        make_spec({**setting, "forge": "everything"})
