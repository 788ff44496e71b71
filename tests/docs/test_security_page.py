"""What SECURITY.md says of defaults is what they are."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import fedward as fw
from fedward.audit import run_aggregate
from fedward.experiments.spec import RunSpec
from fedward.flower.fedavg import RobustFedAvg
from fedward.nvflare import RobustAggregator
from fedward.sim import Simulation
from fedward.stack import Files

PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")


def default(of: object) -> object:
    return inspect.signature(of).parameters["batch_norm"].default  # type: ignore[arg-type]


def test_the_mean_of_running_statistics_is_the_simulators_default_alone() -> None:
    assert re.search(r"`batch_norm=\"mean\"`\*\*, the simulator's default alone", PAGE)
    assert {default(Simulation), RunSpec.model_fields["batch_norm"].default} == {"mean"}
    others = (fw.Aggregator, Files, RobustFedAvg, RobustAggregator, run_aggregate)
    assert {default(one) for one in others} == {"robust"}
