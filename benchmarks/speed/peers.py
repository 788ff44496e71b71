"""Other libraries' versions of the rules, and the process that runs them: needs nothing of fedward.

Each line of `PEERS` says which of our rules it stands beside, and, where it does not compute the same, how it differs.
The libraries are imported when they are first called.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import Tensor

from benchmarks.speed.byzfl_round import Rounds
from benchmarks.speed.parts import part
from benchmarks.speed.worker import Bench, Call, Contender, serve

PACKAGES = {"ByzFL": "byzfl", "ByzPy": "byzpy", "torchjd": "torchjd", "Flower": "flwr"}
RADIUS = 10.0  # of centered clipping, as the catalogue's example has it

Make = Callable[[int, int], Contender]


@dataclass(frozen=True)
class Peer:
    """A peer's version of a rule.

    Attributes:
        rule: the name of our line.
        library: a key of `PACKAGES`.
        what: what is called there.
        make: from n and f to a contender.
        differs: how its definition differs from ours; empty where it is the same.
    """

    rule: str
    library: str
    what: str
    make: Make
    # The first four are the columns of the table below.
    _: KW_ONLY
    differs: str = ""

    @property
    def key(self) -> str:
        """What a worker knows it by."""
        return f"{self.library}: {self.what} for {self.rule}"


@dataclass(frozen=True)
class Plain:
    """A function of the rows that keeps nothing we could count; ``given`` makes its input, untimed."""

    function: Callable[[Any], Any]
    given: Callable[[Tensor], Any]

    def prepare(self, G: Tensor) -> Call:
        rows = self.given(G)
        return lambda: self.function(rows)

    def state_bytes(self) -> int:
        return 0


# --- ByzFL: callables of an (n, d) tensor ---------------------------------------------------------------------


def _byzfl(name: str, *before: str, **arguments: Any) -> Make:
    """An aggregator after pre-aggregators; ``f`` among the arguments stands for the number of byzantine rows."""

    def make(n: int, f: int) -> Contender:
        aggregators, mixers = part("byzfl", "aggregators.aggregators"), part("byzfl", "aggregators.preaggregators")
        steps = [getattr(mixers, b)(**({"s": 2} if b == "Bucketing" else {"f": f})) for b in before]
        steps.append(getattr(aggregators, name)(**{k: f if v == "f" else v for k, v in arguments.items()}))

        def run(rows: Tensor) -> Any:
            for step in steps:
                rows = step(rows)
            return rows

        # ARC clips the rows where they lie: it gets a copy, made beforehand.
        return Plain(run, (lambda G: G.clone()) if "ARC" in before else (lambda G: G))

    return make


# --- ByzPy: takes a sequence of rows --------------------------------------------------------------------------


def _byzpy(name: str, *before: str, arguments: Callable[[int, int], dict[str, Any]]) -> Make:
    def make(n: int, f: int) -> Contender:
        found: dict[str, Any] = {}
        for folder in ("coordinate_wise", "geometric_wise", "norm_wise"):
            found |= vars(importlib.import_module(f"byzpy.aggregators.{folder}"))
        mixers = importlib.import_module("byzpy.pre_aggregators")
        steps = [getattr(mixers, b)(**({"bucket_size": 2} if b == "Bucketing" else {"f": f})) for b in before]
        aggregator = found[name](**arguments(n, f))

        def run(rows: Sequence[Tensor]) -> Any:
            for step in steps:
                rows = step.pre_aggregate(rows)
            return aggregator.aggregate(rows)

        return Plain(run, lambda G: list(G.unbind()))

    return make


# --- torchjd: modules ------------------------------------------------------------------------------------------


def _torchjd(name: str, arguments: Callable[[int, int], dict[str, Any]]) -> Make:
    def make(n: int, f: int) -> Contender:
        return Plain(getattr(importlib.import_module("torchjd.aggregation"), name)(**arguments(n, f)), lambda G: G)

    return make


# --- Flower: strategies, which take the nodes' replies ----------------------------------------------------------


class Strategy:
    """A strategy of Flower's, given replies as they arrive: every row in its serialised form."""

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        self.strategy = getattr(importlib.import_module("flwr.serverapp.strategy"), name)(**arguments)
        self._of: tuple[int, list[Any]] = (0, [])

    def prepare(self, G: Tensor) -> Call:
        if self._of[0] != G.data_ptr():
            array = importlib.import_module("flwr.app").Array
            self._of = (G.data_ptr(), [array(row.numpy()) for row in G])
        replies = _replies(self._of[1])  # some strategies take the rows out of their replies
        return lambda: self.strategy.aggregate_train(1, replies)[0].to_numpy_ndarrays()[0]

    def state_bytes(self) -> int:
        return 0


def _replies(rows: Sequence[Any]) -> list[Any]:
    app = importlib.import_module("flwr.app")
    identity = importlib.import_module("flwr.supercore.task_identity").TaskIdentity
    identity.run_id, identity.node_id, identity.task_id = 1, 1, 1  # a message says who sends it
    replies = []
    for node, row in enumerate(rows, 1):
        asked = app.Message(app.RecordDict(), dst_node_id=node, message_type="train")
        metrics = app.MetricRecord({"num-examples": 1})
        content = app.RecordDict({"arrays": app.ArrayRecord({"row": row}), "metrics": metrics})
        replies.append(app.Message(content, reply_to=asked))
    return replies


def _flower(name: str, arguments: Callable[[int, int], dict[str, Any]]) -> Make:
    return lambda n, f: Strategy(name, arguments(n, f))


# --- who stands beside what -------------------------------------------------------------------------------------


def _f(n: int, f: int) -> dict[str, Any]:
    return {"f": f}


def _none(n: int, f: int) -> dict[str, Any]:
    return {}


def _clipping(n: int, f: int) -> dict[str, Any]:
    return {"c_tau": RADIUS, "M": 1, "init": "zero"}


LOWER = "lower of the two middle values, not their mean"
WIDER = "n - f - 1 neighbours, not n - f - 2"
PLAIN = "sums plain distances, not squared ones"
RANDOM = "other random buckets"
RULE, MEAN, KRUM = "CoordinateWiseTrimmedMean", "Average", "Krum"
NNM = "NearestNeighborMixing"

PEERS = (
    Peer("mean", "ByzFL", "Average", _byzfl("Average")),
    Peer("mean", "torchjd", "Mean", _torchjd("Mean", _none)),
    Peer("mean", "Flower", "FedAvg", _flower("FedAvg", _none)),
    Peer("median", "ByzFL", "Median", _byzfl("Median")),
    Peer("median", "ByzPy", "CoordinateWiseMedian", _byzpy("CoordinateWiseMedian", arguments=_none), differs=LOWER),
    Peer("median", "Flower", "FedMedian", _flower("FedMedian", _none)),
    Peer("trimmed-mean", "ByzFL", "TrMean", _byzfl("TrMean", f="f")),
    Peer("trimmed-mean", "ByzPy", RULE, _byzpy(RULE, arguments=_f)),
    Peer("trimmed-mean", "torchjd", "TrimmedMean", _torchjd("TrimmedMean", lambda n, f: {"trim_number": f})),
    Peer("trimmed-mean", "Flower", "FedTrimmedAvg", _flower("FedTrimmedAvg", lambda n, f: {"beta": f / n})),
    Peer("mea-med", "ByzFL", "Meamed", _byzfl("Meamed", f="f")),
    Peer("mea-med", "ByzPy", "MeanOfMedians", _byzpy("MeanOfMedians", arguments=_f), differs=LOWER),
    Peer("rfa", "ByzFL", "GeometricMedian", _byzfl("GeometricMedian", nu=0.1, T=3)),
    Peer("geometric-median", "ByzPy", "GeometricMedian", _byzpy("GeometricMedian", arguments=_none)),
    Peer("krum", "ByzFL", "Krum", _byzfl("Krum", f="f"), differs=WIDER),
    Peer("krum", "ByzPy", "Krum", _byzpy("Krum", arguments=_f), differs=WIDER),
    Peer("krum", "torchjd", "Krum", _torchjd("Krum", lambda n, f: {"n_byzantine": f}), differs=PLAIN),
    Peer("krum", "Flower", "Krum", _flower("Krum", lambda n, f: {"num_malicious_nodes": f})),
    Peer("multi-krum", "ByzFL", "MultiKrum", _byzfl("MultiKrum", f="f"), differs=f"{WIDER}; averages n - f rows"),
    Peer(
        "multi-krum",
        "ByzPy",
        "MultiKrum",
        _byzpy("MultiKrum", arguments=lambda n, f: {"f": f, "q": n - f - 2}),
        differs=WIDER,
    ),
    Peer(
        "multi-krum",
        "torchjd",
        "Krum",
        _torchjd("Krum", lambda n, f: {"n_byzantine": f, "n_selected": n - f - 2}),
        differs=PLAIN,
    ),
    Peer(
        "multi-krum",
        "Flower",
        "MultiKrum",
        _flower("MultiKrum", lambda n, f: {"num_malicious_nodes": f, "num_nodes_to_select": n - f - 2}),
    ),
    Peer(
        "bulyan",
        "Flower",
        "Bulyan",
        _flower("Bulyan", lambda n, f: {"num_malicious_nodes": f}),
        differs="picks the n - 2f rows at once, not one by one",
    ),
    Peer("centered-clipping", "ByzFL", "CenteredClipping", _byzfl("CenteredClipping", L=1, tau=RADIUS)),
    Peer("centered-clipping", "ByzPy", "CenteredClipping", _byzpy("CenteredClipping", arguments=_clipping)),
    Peer("mda", "ByzFL", "MDA", _byzfl("MDA", f="f")),
    Peer("mda", "ByzPy", "MinimumDiameterAveraging", _byzpy("MinimumDiameterAveraging", arguments=_f)),
    Peer("monna", "ByzFL", "MoNNA", _byzfl("MoNNA", f="f")),
    Peer("monna", "ByzPy", "MoNNA", _byzpy("MoNNA", arguments=_f)),
    Peer("smea", "ByzFL", "SMEA", _byzfl("SMEA", f="f"), differs="one random power step, not the largest eigenvalue"),
    Peer("smea", "ByzPy", "SMEA", _byzpy("SMEA", arguments=_f)),
    Peer("caf", "ByzFL", "CAF", _byzfl("CAF", f="f"), differs="one random power step, not the first direction"),
    Peer("caf", "ByzPy", "CAF", _byzpy("CAF", arguments=_f), differs="three power steps, not the first direction"),
    Peer("cge", "ByzPy", "ComparativeGradientElimination", _byzpy("ComparativeGradientElimination", arguments=_f)),
    Peer("nnm >> mean", "ByzFL", "NNM + Average", _byzfl(MEAN, "NNM")),
    Peer("nnm >> krum", "ByzFL", "NNM + Krum", _byzfl(KRUM, "NNM", f="f"), differs=WIDER),
    Peer("nnm >> krum", "ByzPy", f"{NNM} + Krum", _byzpy(KRUM, NNM, arguments=_f), differs=WIDER),
    Peer("arc >> mean", "ByzFL", "ARC + Average", _byzfl(MEAN, "ARC")),
    Peer("arc >> krum", "ByzFL", "ARC + Krum", _byzfl(KRUM, "ARC", f="f"), differs=WIDER),
    Peer("arc >> krum", "ByzPy", "ARC + Krum", _byzpy(KRUM, "ARC", arguments=_f), differs=WIDER),
    Peer("bucketing >> mean", "ByzFL", "Bucketing + Average", _byzfl(MEAN, "Bucketing")),
    Peer("bucketing >> krum", "ByzFL", "Bucketing + Krum", _byzfl(KRUM, "Bucketing", f="f"), differs=RANDOM),
    Peer("bucketing >> krum", "ByzPy", "Bucketing + Krum", _byzpy(KRUM, "Bucketing", arguments=_f), differs=RANDOM),
)
_BY_KEY = {peer.key: peer for peer in PEERS}


def versions() -> dict[str, Any]:
    """Of every library, None where it is not installed."""

    def found(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {**{name: found(package) for name, package in PACKAGES.items()}, "PyTorch": found("torch")}


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    bench = Bench(lambda key, n, f: _BY_KEY[key].make(n, f), parser.parse_args().threads)
    rounds = Rounds()
    serve({**bench.handlers, "versions": versions, "round_start": rounds.start, "round": rounds.step})


if __name__ == "__main__":
    main()
