"""Between Flower's older API and the messages of the newer one: for `fedward.flower.legacy`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from logging import WARNING
from types import SimpleNamespace
from typing import cast

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common import Parameters, Scalar
from flwr.server.client_proxy import ClientProxy
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from .answers import shown
from .metrics import summarise
from .screened import logger
from .skips import SkippedError

LOSS = "loss"
"""The metric that the loss of evaluation is put under, which the older API keeps beside the metrics."""

_FAILED = 1  # the code of an app's own errors
_NEWER = {"min_train_nodes": "min_fit_clients"}
"""Arguments that errors name, and what they are called here."""
_Told = Callable[[list[tuple[int, dict[str, Scalar]]]], dict[str, Scalar]]
_Summary = Callable[[list[RecordDict], str], MetricRecord]


class Chosen(FedAvg):
    """Asks whom the older API's client manager has chosen: they stand in the grid's place."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return [cast(Message, Asked(metadata=_To(dst_node_id=node), config=config)) for node in grid.get_node_ids()]

    configure_evaluate = configure_train


# --- what is asked of a message, and no more ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _To:
    dst_node_id: int


@dataclass(frozen=True, kw_only=True)
class _From:
    src_node_id: int


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A message to a client."""

    metadata: _To
    config: ConfigRecord


@dataclass(frozen=True, kw_only=True)
class Came:
    """A message from one."""

    metadata: _From
    content: RecordDict = field(default_factory=RecordDict)
    error: Error | None = None

    @classmethod
    def of(cls, node: int, content: RecordDict) -> Came:
        """What a client answered."""
        return cls(metadata=_From(src_node_id=node), content=content)

    def has_error(self) -> bool:
        """Whether the client failed."""
        return self.error is not None

    def has_content(self) -> bool:
        """Whether it did not."""
        return self.error is None


def failed_reply(node: int, text: str) -> Came:
    """What stands for a client that failed."""
    return Came(metadata=_From(src_node_id=node), error=Error(_FAILED, text))


def grid_of(nodes: Sequence[int]) -> Grid:
    """Clients that were chosen, in the place of a grid."""
    return cast(Grid, SimpleNamespace(get_node_ids=lambda: nodes))


def node_of(proxy: ClientProxy) -> int:
    """A client's id as a number: what it says, if it is one, else one made of it, the same after a restart."""
    cid = str(proxy.cid)
    if cid.isdecimal() and str(int(cid)) == cid:
        return int(cid)
    return int.from_bytes(sha256(cid.encode()).digest()[:7], "big")


# --- and back -------------------------------------------------------------------------------------------------


def packed(arrays: ArrayRecord) -> Parameters:
    """A model as the older API sends it."""
    return Parameters(tensors=[array.data for array in arrays.values()], tensor_type="numpy.ndarray")


def scalars_of(metrics: MetricRecord | None) -> dict[str, Scalar]:
    """Numbers as they are; lists, which the older API has not, as JSON."""
    found = {} if metrics is None else dict(metrics)
    return {name: json.dumps(value) if isinstance(value, list) else value for name, value in found.items()}


def numbers_in(metrics: Mapping[str, Scalar]) -> dict[str, int | float]:
    """The metrics that are, and flags as 0 and 1."""
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in metrics.items()
        if isinstance(value, int | float)
    }


def as_newer(function: _Told | None) -> _Summary | None:
    """A function for metrics, of pairs of examples and metrics, as the newer API calls it."""
    if function is None:
        return None

    def called(contents: list[RecordDict], key: str) -> MetricRecord:
        pairs = [
            (cast(int, content.metric_records["metrics"][key]), cast(dict[str, Scalar], dict(content["told"])))
            for content in contents
        ]
        made = function(pairs)
        left_out = sorted(name for name, value in made.items() if not isinstance(value, int | float))
        if left_out:
            logger.log(WARNING, "%s made %s, which are no numbers: left out", function, shown(left_out))
        return MetricRecord({**numbers_in(made)})

    return called


def with_loss(function: _Summary | None, trusted: bool) -> _Summary | None:
    """The same with the loss, which is no metric in the older API: no function of the user's makes one of it."""
    if function is None:
        return None

    def called(contents: list[RecordDict], key: str) -> MetricRecord:
        records = [content.metric_records["metrics"] for content in contents]
        weights = [float(cast(float, record[key])) for record in records] if trusted else None
        losses = summarise([{LOSS: record[LOSS]} for record in records], key, weights)
        return MetricRecord({**function(contents, key), **losses})

    return called


@contextmanager
def in_older_words() -> Iterator[None]:
    """Errors name the arguments that there are here."""
    try:
        yield
    except (ValueError, SkippedError) as error:
        text = str(error)
        for new, old in _NEWER.items():
            text = text.replace(new, old)
        if text == str(error):
            raise
        raise type(error)(text) from error
