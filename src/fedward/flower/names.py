"""Who is who: names of nodes, which outlast the ids that Flower gives them anew in every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from logging import WARNING, getLogger
from typing import Any, Literal

from ..failures import as_seen
from .answers import Drop, Fault, Reply, ReplyError, shown

Naming = Literal["claimed", "registered", "ids"]
"""Where names come from: see `NodeNames`."""

PARTITION = "partition-id"
"""What simulations number their nodes by: in a node's configuration, and in the metrics of many apps."""

_LONGEST = 64
_LARGEST_PARTITION = 1 << 31
_logger = getLogger("flwr")


class NodeNames:
    """The names of a run's nodes, each bound to the node that it was first seen of.

    A node has at most one name, the first that it says, and keeps it; its reply need not count, so that people know
    whose it was, but a sound one that says none settles that it has none. One that says another later is dropped as
    `Fault.WRONG_NAME`, for it would shed what a rule remembers of it. A node that claims the name of another one
    is dropped as `Fault.NAME_TAKEN`, alone: the one that was bound first keeps it. Where that one is no longer online,
    the claimant goes by its id: it may be the same machine, registered anew, or it may not. Two that claim a name for
    the first time in the same round cannot be told apart; neither gets it in this run, and both go by their ids.

    Args:
        naming: "claimed", the name that the SuperLink has registered (``flwr supernode register --name``), else what
            the node says: in the record of `fedward.flower.name_mod`, or a metric ``partition-id``, which is a whole
            number; "registered", the SuperLink's alone; "ids", none.
    """

    def __init__(self, naming: Naming = "claimed") -> None:
        self.naming: Naming = naming
        self._bound: dict[str, int] = {}
        self._called: dict[int, str] = {}
        """By node, also of those that have none, which is empty."""
        self._registered: set[int] = set()
        self._disputed: set[str] = set()
        self._online: set[int] = set()

    def look_up(self, online: Mapping[int, str]) -> None:
        """Take note of who is online, and of the names that the server has registered them by, empty for none."""
        self._online = set(online)
        registered = {node: name for node, text in online.items() if (name := as_seen(text))}
        times = Counter(registered.values())
        for node, name in registered.items():
            if times[name] == 1 and node not in self._called:
                self._register(node, name)

    def _register(self, node: int, name: str) -> None:
        """Give a node its name, which whoever merely claimed it loses."""
        holder = self._bound.get(name)
        if holder in self._registered:
            return
        if holder is not None:
            self._called[holder] = ""
        self._registered.add(node)
        self._bind(node, name)

    def of(self, node: int) -> str:
        """What a node is called, other than by its id; empty if it has no name."""
        return self._called.get(node, "")

    def named(self, sound: Sequence[Reply], drops: Sequence[Drop]) -> tuple[list[Reply], list[Drop]]:
        """The sound replies with names, and the drops with those that lie about theirs.

        Rows are in the order of names, then of the ids of nodes without one: what a rule draws and adds up does not
        hang on ids that Flower draws.
        """
        if self.naming == "ids":
            return list(sound), list(drops)
        claims: dict[int, str] = {}
        refused: dict[int, Drop] = {}
        for reply in sound:
            try:
                claims[reply.node] = self._claim(reply)
            except ReplyError as error:
                refused[reply.node] = Drop(node=reply.node, fault=error.fault, detail=error.detail)
        self._bind_new({**self._free({drop.node: drop.name for drop in drops}), **claims})
        kept = [replace(reply, name=self._called[reply.node]) for reply in sound if reply.node not in refused]
        every = [*drops, *refused.values()]
        return sorted(kept, key=lambda reply: row_order(reply.name, reply.node)), sorted(
            every, key=lambda drop: drop.node
        )

    def _claim(self, reply: Reply) -> str:
        """What a node may be called; empty if it says nothing, or nothing that could be told to be its own.

        Raises:
            ReplyError: the name is another node's, or not what it said before, or none at all.
        """
        known = self._called.get(reply.node)
        if reply.node in self._registered:
            return known or ""
        said = claimed_name(reply.claim, reply.metrics) if self.naming == "claimed" else ""
        holder = self._bound.get(said, reply.node)
        if holder != reply.node:
            if holder in self._online:
                raise ReplyError(Fault.NAME_TAKEN, f"{shown(said)} is node {holder} in this run")
            return known or ""
        if known and said and said != known:
            raise ReplyError(Fault.WRONG_NAME, f"calls itself {shown(said)}, and was {shown(known)} before")
        return said if known is None else known

    def evaluated(self, sound: Sequence[Reply], drops: Sequence[Drop]) -> None:
        """Take note of the names in replies that no rule judges, of nodes that have none yet."""
        if self.naming != "ids":
            said = {reply.node: name_in(reply.claim, reply.metrics) for reply in sound}
            self._bind_new(self._free({**said, **{drop.node: drop.name for drop in drops}}))

    def _free(self, said: Mapping[int, str]) -> dict[int, str]:
        """Names that are nobody's yet, of nodes whose replies say them and do not count: people want to know whose."""
        if self.naming != "claimed":
            return {}
        return {node: name for node, name in said.items() if name and name not in self._bound}

    def _bind_new(self, claimed: Mapping[int, str]) -> None:
        claims = {node: name for node, name in claimed.items() if node not in self._called}
        times = Counter(claims.values())
        for node, name in claims.items():
            if name and times[name] > 1 and name not in self._disputed:
                self._disputed.add(name)
                nodes = ", ".join(str(other) for other, claimed in claims.items() if claimed == name)
                _logger.log(WARNING, "%s is the name of several nodes, which go by their ids: %s", shown(name), nodes)
            self._bind(node, "" if name in self._disputed else name)

    def _bind(self, node: int, name: str) -> None:
        self._called[node] = name
        if name:
            self._bound[name] = node


def claimed_name(told: object, metrics: Mapping[str, Any]) -> str:
    """The name that a reply claims; empty if it claims none.

    Args:
        told: what its record for names says; None if it has none.
        metrics: of the reply.

    Raises:
        ReplyError: a record for names that holds none.
    """
    if told is not None:
        name = as_seen(told) if isinstance(told, str) else ""
        if not 0 < len(name) <= _LONGEST or name.isdecimal():
            due = f"1 to {_LONGEST} characters are due, not digits alone"
            raise ReplyError(Fault.WRONG_NAME, f"its name is {shown(told)} where {due}")
        return name
    partition = metrics.get(PARTITION)
    known = type(partition) is int and 0 <= partition < _LARGEST_PARTITION
    return f"partition-{partition}" if known else ""


def name_in(told: object, metrics: Mapping[str, Any]) -> str:
    """The same, empty also for a record that holds no name."""
    try:
        return claimed_name(told, metrics)
    except ReplyError:
        return ""


def row_order(name: str, node: int) -> tuple[bool, int, str, int]:
    """What nodes are sorted by: their names, of which partition-2 comes before partition-10, then their ids."""
    return (not name, len(name), name, node)
