"""The component for NVIDIA FLARE decides what an `Aggregator` decides, and no result of a client ends a job."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedward as fw

try:
    import nvflare  # noqa: F401
except ModuleNotFoundError:
    HAS = False
else:
    HAS = True
needed = pytest.mark.skipif(not HAS, reason="nvflare is not installed: pip install nvflare")

BASE = {
    "layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "layer.running_mean": np.zeros(3, np.float32),
    "layer.num_batches_tracked": np.array(5),
}


def test_without_nvflare_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fedward.nvflare", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "nvflare"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nvflare", None)
    with pytest.raises(ModuleNotFoundError, match="pip install nvflare "):
        importlib.import_module("fedward.nvflare")


def made(rule: str = "median", **arguments: Any) -> Any:
    from nvflare.apis.fl_context import FLContext
    from nvflare.app_common.abstract.model import make_model_learnable
    from nvflare.app_common.app_constant import AppConstants

    from fedward.nvflare import RobustAggregator

    aggregator = RobustAggregator(rule, **arguments)
    aggregator.fl_ctx = FLContext()
    aggregator.fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, make_model_learnable(dict(BASE), {}), private=True)
    said: list[str] = []
    aggregator.info = aggregator.warning = said.append
    aggregator.said = said
    return aggregator


def moved(step: float, difference: bool = False) -> dict[str, Any]:
    change = {name: np.full_like(value, max(step, 0) if "batches" in name else step) for name, value in BASE.items()}
    return change if difference else {name: value + change[name] for name, value in BASE.items()}


def model(name: str, params: Any, kind: str = "FULL", **more: Any) -> Any:
    from nvflare.app_common.abstract.fl_model import FLModel

    return FLModel(params_type=kind, params=params, meta={"client_name": name}, **more)


@needed
@pytest.mark.parametrize("kind", ["FULL", "DIFF"])
def test_it_decides_what_an_aggregator_decides(kind: str) -> None:
    steps = {"site-1": 1.0, "site-2": 1.1, "site-3": 1.2, "site-4": -50.0, "site-5": 0.9}
    aggregator = made("krum:f=1", seed=3)
    for name, step in reversed(steps.items()):
        aggregator.accept_model(model(name, moved(step, kind == "DIFF"), kind, metrics={"accuracy": step}))
    found = aggregator.aggregate_model()
    rows = {name: {k: torch.as_tensor(v) for k, v in moved(step).items()} for name, step in steps.items()}
    base = {name: torch.as_tensor(value) for name, value in BASE.items()}
    expected = fw.Aggregator(fw.rules.Krum(f=1), seed=3)(rows, base=base)
    for name, value in expected.state_dict().items():
        np.testing.assert_allclose(found.params[name], value.numpy(), rtol=1e-6)
        assert found.params[name].dtype == BASE[name].dtype
    assert found.params_type == "FULL"
    assert found.metrics == {"accuracy": pytest.approx(1.0)}
    assert aggregator.said[0] == "krum:f=1: 1 of 5 clients kept"


@needed
def test_whatever_comes_is_a_verdict_on_that_client() -> None:
    aggregator = made("median")
    for k in range(3):
        aggregator.accept_model(model(f"good-{k}", moved(1 + k / 10)))
    bad: dict[str, Any] = {
        "shape": {**moved(1), "layer.weight": np.ones((4, 4), np.float32)},
        "keys": {"other": np.ones(3)},
        "nan": {**moved(1), "layer.weight": np.full((2, 3), np.nan, np.float32)},
        "text": {**moved(1), "layer.weight": "nothing"},
        "list": [1, 2, 3],
    }
    for name, params in bad.items():
        aggregator.accept_model(model(name, params))
    for _ in range(3):
        aggregator.accept_model(model("twice", moved(9)))
    found = aggregator.aggregate_model()
    np.testing.assert_allclose(found.params["layer.weight"], BASE["layer.weight"] + 1.1, rtol=1e-6)
    text = "\n".join(aggregator.said)
    assert all(f"dropped {name}" in text for name in (*bad, "twice"))
    assert "3 of 8 clients kept" in text


@needed
def test_a_round_that_cannot_be_decided_keeps_the_model_and_not_for_ever() -> None:
    from fedward.nvflare import UnchangedError

    aggregator = made("krum:f=2", max_skipped=4)
    for params in (None, [1, 2], {"other": np.ones(3)}):
        if params is not None:
            aggregator.accept_model(model("site-1", params))
        found = aggregator.aggregate_model()
        assert (found.params_type, found.params) == ("DIFF", {})
    aggregator.accept_model(model("site-1", moved(1)))
    with pytest.raises(UnchangedError, match=r"4 rounds in a row left the model as it was: .*needs n >= 2f \+ 3"):
        aggregator.aggregate_model()
    aggregator.fl_ctx = None
    with pytest.raises(RuntimeError, match="no global model"):
        aggregator.aggregate_model()


@dataclass(frozen=True, kw_only=True)
class SlipsAtWill(fw.Rule[torch.Tensor]):
    """The mean, which remembers and draws: too large for float32 where rows are about 7, an error where about 8."""

    declared = fw.Traits(bound=fw.Bound(0, 1), history=True, server_rows=True)

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan[torch.Tensor]:
        norm = float(updates.norms().mean()) / 6**0.5  # of six equal entries
        if 8 <= norm < 9:
            raise RuntimeError("no convergence")
        scale = 1e38 if 7 <= norm < 8 else 1 + 0.1 * torch.rand(1, generator=context.generator("own")).item()
        weights = torch.full((updates.n,), (scale + float(state.get("before", 0))) / updates.n)
        return fw.Plan(updates, weights, memo=torch.tensor(norm))

    def advance(
        self, state: fw.State, plan: fw.Plan[torch.Tensor], output: torch.Tensor, context: fw.Context
    ) -> fw.State:
        return {"before": plan.memo}


@needed
@pytest.mark.parametrize("step", [7.5, 8.5], ids=["not finite", "the rule raises"])
def test_a_round_that_keeps_the_model_is_not_remembered(step: float) -> None:
    """What comes after it is what would have come without it, memory and random choices alike."""
    text = "tests.flare.test_aggregator.SlipsAtWill"
    slipped, straight = made(text), made(text)
    for which, steps in ((slipped, (1.0, step, 2.0)), (straight, (1.0, 2.0))):
        for each in steps:
            for k in range(3):
                which.accept_model(model(f"site-{k}", moved(each)))
            found = which.aggregate_model()
            assert (found.params_type == "DIFF") == (each == step), which.said
        which.found = found
    assert "the model stays as it was" in "".join(slipped.said)
    for name, value in straight.found.params.items():
        np.testing.assert_array_equal(slipped.found.params[name], value)


@needed
def test_rules_that_have_not_what_they_need_are_refused() -> None:
    with pytest.raises(ValueError, match="examples"):
        made("mean:weighted=true")
    with pytest.raises(ValueError, match="data of the server's own"):
        made("fl-trust")


@needed
def test_the_older_controller_takes_it() -> None:
    from nvflare.apis.dxo import DXO, DataKind, from_shareable
    from nvflare.apis.fl_constant import ReservedKey, ReturnCode
    from nvflare.apis.shareable import Shareable

    aggregator = made("median")
    context = aggregator.fl_ctx
    for k in range(3):
        sent = DXO(data_kind=DataKind.WEIGHT_DIFF, data=moved(1 + k / 10, difference=True)).to_shareable()
        sent.set_peer_props({ReservedKey.IDENTITY_NAME: f"site-{k}"})
        assert aggregator.accept(sent, context)
    failed = Shareable()
    failed.set_return_code(ReturnCode.EXECUTION_EXCEPTION)
    assert not aggregator.accept(failed, context)
    assert not aggregator.accept(Shareable(), context)
    found = from_shareable(aggregator.aggregate(context))
    assert found.data_kind == DataKind.WEIGHTS
    np.testing.assert_allclose(found.data["layer.weight"], BASE["layer.weight"] + 1.1, rtol=1e-6)


@needed
def test_a_job_in_nvflares_simulator(tmp_path: Path) -> None:
    job = Path(__file__).parent / "job.py"
    done = subprocess.run(
        [sys.executable, str(job), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert "the model: OrderedDict" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    numbers = torch.tensor(eval(done.stdout.split("'weight', tensor(")[1].split(")")[0]))
    assert bool((numbers > 0.5).all())
    assert done.stdout.count("median: 3 of 3 clients kept") + done.stderr.count("median: 3 of 3 clients kept") >= 2
