"""Flower's older API is a second face of the same code: what it decides is what the newer one decides."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, RecordDict
from flwr.common import Code, EvaluateRes, FitIns, FitRes, Parameters, Status, ndarrays_to_parameters
from flwr.common import parameters_to_ndarrays as unpacked
from flwr.server import Server, SimpleClientManager
from flwr.server.client_proxy import ClientProxy

from fedward import attacks
from fedward.flower import RobustFedAvg as Newer
from fedward.flower import SkippedError, hostile
from fedward.flower.legacy import RobustFedAvg
from fedward.flower.testing import InProcess as Nodes
from fedward.sim.checkpoint import CheckpointError

from .federation import NODES, InProcess, Quadratic, liars, model

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "flower.md"
NAMES = list(model())
OK = Status(Code.OK, "")
Change = Callable[[FitRes], FitRes | None]


def packed(arrays: ArrayRecord) -> Parameters:
    return ndarrays_to_parameters([array.numpy() for array in arrays.values()])


class Client(ClientProxy):
    """Node k of the quadratic app, as the older API meets it; ``change`` is what it makes of its result."""

    def __init__(self, cid: str, partition: int, change: Change = lambda result: result) -> None:
        super().__init__(cid)
        self.partition, self.change = partition, change
        self.configs: list[Any] = []

    def fit(self, ins: FitIns, timeout: Any, group_id: Any) -> Any:
        self.configs.append(ins.config)
        target = 1.0 + 0.1 * self.partition
        moved = [
            (v + 0.5 * (target - v)).astype(v.dtype) if v.dtype.kind == "f" else v + 100
            for v in unpacked(ins.parameters)
        ]
        metrics = {"loss": float(self.partition), "who": f"client {self.partition}", "well": True}
        return self.change(FitRes(OK, ndarrays_to_parameters(moved), 10 + self.partition, metrics))

    def evaluate(self, ins: Any, timeout: Any, group_id: Any) -> Any:
        return EvaluateRes(OK, self.partition / 10, 10 + self.partition, {"accuracy": self.partition / 20})

    def get_properties(self, ins: Any, timeout: Any, group_id: Any) -> Any:
        raise NotImplementedError

    def get_parameters(self, ins: Any, timeout: Any, group_id: Any) -> Any:
        raise NotImplementedError

    def reconnect(self, ins: Any, timeout: Any, group_id: Any) -> Any:
        raise NotImplementedError


def server(strategy: RobustFedAvg, changes: dict[int, Change] | None = None, count: int = 10) -> Server:
    manager = SimpleClientManager()
    for partition in range(count):
        client = Client(str(NODES[partition]), partition, (changes or {}).get(partition, lambda result: result))
        manager.register(client)
    return Server(client_manager=manager, strategy=strategy)


def robust(rule: str = "median", **arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(**{"keys": NAMES, "initial_parameters": packed(model()), "rule": rule, **arguments})


def raises(result: FitRes) -> FitRes:
    raise RuntimeError("out of memory")


def backwards(result: FitRes) -> FitRes:
    moved = unpacked(result.parameters)
    turned = [a - 20 * (v - a) if v.dtype.kind == "f" else v for a, v in zip(before(), moved, strict=True)]
    result.parameters = ndarrays_to_parameters([np.asarray(v, a.dtype) for v, a in zip(turned, before(), strict=True)])
    return result


def before() -> list[np.ndarray]:
    return [array.numpy() for array in model().values()]


def told(audits: list[Any]) -> list[Any]:
    """Without how long it took, and without what the older API's clients say besides."""
    found = [{**audit.to_json(), "seconds": 0} for audit in audits]
    for audit in found:
        for node in audit["nodes"]:
            node["metrics"].pop("well", None)
    return found


# --- one code -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        ("median", {}),
        ("multi-krum:f=2", {"batch_norm": "robust"}),
        ("nnm:f=2 >> geometric-median", {"trust_examples": True}),
        ("mean:weighted=true", {"max_share": 0.15, "seed": 3}),
    ],
)
def test_both_faces_decide_the_same_to_the_last_bit(rule: str, arguments: dict[str, Any]) -> None:
    newer = Newer(rule=rule, **arguments)
    result = newer.start(InProcess(Quadratic().app), model(), num_rounds=3)
    older = robust(rule, **arguments)
    run = server(older)
    run.fit(num_rounds=3, timeout=None)
    kept = {name: array.numpy() for name, array in result.arrays.items()}
    for (name, array), mine in zip(kept.items(), unpacked(run.parameters), strict=True):
        np.testing.assert_array_equal(array, mine, err_msg=name, strict=True)
    assert told(newer.audits) == told(older.audits)
    assert older.round == 3


def test_attackers_are_dropped_and_whatever_comes_is_a_verdict() -> None:
    def without_one(result: FitRes) -> FitRes:
        del result.parameters.tensors[0]
        return result

    def garbage(result: FitRes) -> FitRes:
        result.parameters.tensors[1] = b"nothing of this kind"
        return result

    def failed(result: FitRes) -> FitRes:
        return FitRes(Status(Code.FIT_NOT_IMPLEMENTED, "no fit"), Parameters([], ""), 0, {})

    def nothing(result: FitRes) -> FitRes:
        result.parameters = None  # type: ignore[assignment]
        return result

    def infinite(result: FitRes) -> FitRes:
        result.parameters = ndarrays_to_parameters([v + np.inf if v.dtype.kind == "f" else v for v in before()])
        return result

    changes = {0: backwards, 1: without_one, 2: garbage, 3: failed, 4: nothing, 5: raises, 6: infinite}
    strategy = robust("krum:f=1", on_skip="warn")
    run = server(strategy, changes)
    run.parameters = packed(model())
    _, metrics, _ = run.fit_round(1, None)
    reasons = {NODES.index(v.node): v.reason for v in strategy.audits[0].verdicts}
    assert [str(reasons[k]) for k in range(7)] == [
        "round-skipped",
        "wrong-keys",
        "unreadable",
        "error",
        "error",
        "error",
        "nonfinite",
    ]
    details = {NODES.index(v.node): v.detail for v in strategy.audits[0].verdicts}
    assert "no fit" in details[3]
    assert details[5] == "code 1: RuntimeError: out of memory"
    assert metrics["fedward-skipped"] == 1
    assert json.loads(metrics["fedward-dropped-error"]) == NODES[3:6]
    strategy = robust("multi-krum:f=2")
    server(strategy, {0: backwards, 1: backwards}).fit(num_rounds=2, timeout=None)
    assert all(not {NODES[0], NODES[1]} & set(audit.kept) for audit in strategy.audits)


# --- what the older API has of its own ------------------------------------------------------------------------


def test_metrics_are_medians_or_what_the_own_function_makes_of_those_kept() -> None:
    history, _ = server(robust("krum:f=2")).fit(1, None)
    fit = {name: values[0][1] for name, values in history.metrics_distributed_fit.items()}
    (kept,) = json.loads(fit["fedward-kept"])
    assert fit["loss"] == NODES.index(kept)
    assert fit["well"] == 1
    assert "who" not in fit
    assert history.losses_distributed == [(1, pytest.approx(0.45))]
    assert history.metrics_distributed["accuracy"] == [(1, pytest.approx(0.225))]

    def mine(pairs: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        return {"who": len({m["who"] for _, m in pairs}), "examples": sum(n for n, _ in pairs), "text": "no number"}

    history, _ = server(robust("median", fit_metrics_aggregation_fn=mine)).fit(1, None)
    assert history.metrics_distributed_fit["who"] == [(1, 10)]
    assert history.metrics_distributed_fit["examples"] == [(1, sum(range(10, 20)))]


def test_clients_are_told_the_class_of_the_round_and_the_own_configuration() -> None:
    strategy = robust("class-wise:base=median", classes=3, on_fit_config_fn=lambda number: {"number": number})
    run = server(strategy)
    run.fit(2, None)
    configs = [client.configs for client in run.client_manager().all().values()]
    assert configs == [[{"number": 1, "fedward-class": 0}, {"number": 2, "fedward-class": 1}]] * 10


def test_a_restart_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    seen: list[int] = []

    def made(**arguments: Any) -> RobustFedAvg:
        return robust(
            "bucketing:s=2 >> krum:f=1", evaluate_fn=lambda number, arrays, config: seen.append(number), **arguments
        )

    whole = server(made())
    whole.fit(4, None)
    file = tmp_path / "older.pt"
    server(made(checkpoint=file)).fit(2, None)
    seen.clear()
    again = made(checkpoint=file)
    assert again.round == 2
    run = server(again)
    run.fit(2, None)
    assert seen == [2, 3, 4]
    assert [audit.round for audit in again.audits] == [3, 4]
    assert run.parameters.tensors == whole.parameters.tensors
    with pytest.raises(CheckpointError, match="rule"):
        robust("median", checkpoint=file)
    newer = Newer(rule="median", checkpoint=tmp_path / "newer.pt")
    newer.start(InProcess(Quadratic().app), model(), num_rounds=1)
    with pytest.raises(CheckpointError):  # rounds of the other API are not taken for its own
        robust("median", checkpoint=tmp_path / "newer.pt")


class Killed(BaseException):
    """The server's process ends."""


def test_what_ends_a_run_in_central_evaluation_costs_no_round(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    def made(**arguments: Any) -> RobustFedAvg:
        return robust("bucketing:s=2 >> krum:f=1", audit=file, checkpoint=tmp_path / "run.pt", **arguments)

    def ends(number: int, arrays: Any, config: Any) -> tuple[float, dict[str, Any]]:
        if number == 3:
            raise Killed
        return 1.0, {}

    with pytest.raises(Killed):
        server(made(evaluate_fn=ends)).fit(4, None)
    again = made(evaluate_fn=lambda number, arrays, config: (1.0, {}))
    assert again.round == 3
    run = server(again)
    run.fit(1, None)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    trained = [line["round"] for line in lines if "evaluated" not in line]
    found = [line["round"] for line in lines if line.get("evaluated") == "server"]
    assert (trained, found) == ([1, 2, 3, 4], [0, 1, 2, 3, 4])
    assert list(tmp_path.glob("audit*")) == [file]
    whole = server(robust("bucketing:s=2 >> krum:f=1"))
    whole.fit(4, None)
    assert run.parameters.tensors == whole.parameters.tensors


def test_no_run_in_which_nothing_is_learnt_ends_as_if_all_were_well() -> None:
    with pytest.raises(SkippedError, match=r"30 of 30 replies error: code 1: RuntimeError: out of memory"):
        server(robust(), dict.fromkeys(range(10), raises)).fit(5, None)
    with pytest.raises(ValueError, match="min_fit_clients=7"):
        server(robust("krum:f=2", fraction_fit=0.5)).fit(1, None)


def test_what_cannot_go_well_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keys=list\(net.state_dict\(\)\)"):
        server(robust(keys=None)).fit(1, None)
    server(robust(keys=None, buffers=None)).fit(1, None)
    with pytest.raises(ValueError, match="the model has 5 arrays, and keys="):
        server(robust(keys=NAMES[:-1])).fit(1, None)
    with pytest.raises(ValueError, match="accept_failures=False"):
        robust(accept_failures=False)
    with pytest.raises(TypeError, match="fraction_train"):
        robust(fraction_train=0.5)


def test_clients_that_have_no_number_keep_the_one_they_get() -> None:
    ids = []
    for _ in range(2):
        strategy = robust(fraction_evaluate=0.0)
        manager = SimpleClientManager()
        for partition in range(3):
            manager.register(Client(f"ipv4:10.0.0.{partition}:5{partition}", partition))
        Server(client_manager=manager, strategy=strategy).fit(1, None)
        ids.append([v.node for v in strategy.audits[0].verdicts])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3


def test_where_flower_no_longer_has_it_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fedward.flower.legacy")
    monkeypatch.setitem(sys.modules, "flwr.server.strategy", None)
    with pytest.raises(ImportError, match=r"flwr\.server\.strategy\.Strategy, which is not in flwr \d"):
        importlib.import_module("fedward.flower.legacy")


# --- the tutorial ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attacked", [False, True])
def test_the_tutorial_app_with_one_changed_line(
    attacked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = next(b for b in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL) if "server_fn" in b)
    assert block.count("# was: ") == 2  # the import and the line
    found: dict[str, float] = {}
    for text in (block, before_the_change(block)):
        scope: dict[str, Any] = {}
        exec(text, scope)
        mods = [hostile.update_mod(attacks.SignFlip(scale=10), liars(0, 1))] * attacked
        app = scope["ClientApp"](client_fn=scope["client_fn"], mods=mods)
        scope["server_app"](Nodes(app, nodes=NODES), Context(1, 1, {}, RecordDict(), {}))
        found[text] = scope["accuracies"][-1]
    assert found[block] > 0.7
    assert (found[before_the_change(block)] > 0.7) != attacked
    kept = [line["nodes"] for line in map(json.loads, Path("audit.jsonl").read_text().splitlines()) if "nodes" in line]
    assert len(kept) >= 3


def before_the_change(block: str) -> str:
    return re.sub(r"^( *).*  # was: (.*)$", r"\1\2", block, flags=re.MULTILINE)
