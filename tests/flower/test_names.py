"""Who is who: names outlast node ids, and nobody gets another one's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message
from flwr.proto.node_pb2 import NodeInfo

from fedward import attacks
from fedward.flower import RobustFedAvg, hostile, name_mod

from .federation import NODES, InProcess, Quadratic, liars, model, vector

OTHERS = [5_000_000_000_000_000_000 - 11 * k for k in range(10)]
"""The ids of the same ten nodes in another run, in another order."""


def clinic(context: Context) -> str:
    return f"clinic-{context.node_config['partition-id']}"


def strategy_of(rule: str = "mean", **arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(rule=rule, fraction_evaluate=0.0, **arguments)


def rounds_of(
    called: Callable[[int, int], Any], rounds: int = 2, lost: Callable[[int, int], bool] = lambda n, r: False
) -> list[dict[int, tuple[str, str]]]:
    """Names and reasons by place of the node in `NODES`, where a node claims what ``called(place, round)`` says."""

    def claim(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        number = int(message.content["config"]["server-round"])
        said = called(int(context.node_config["partition-id"]), number)
        if said is not None:
            reply.content["fedward-name"] = ConfigRecord(said if isinstance(said, dict) else {"name": said})
        return reply

    strategy = strategy_of()
    strategy.start(InProcess(Quadratic([claim]).app, lost=lost), model(), num_rounds=rounds)
    return [{NODES.index(v.node): (v.name, str(v.reason)) for v in audit.verdicts} for audit in strategy.audits]


def test_a_mod_tells_the_name_and_an_audit_has_it(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    app = Quadratic([name_mod(clinic), hostile.reply_mod("wrong-shape", liars(2))]).app
    strategy = strategy_of("krum:f=2", audit=file)
    strategy.start(InProcess(app, lost=lambda node, round: round == 2 and node == NODES[1]), model(), num_rounds=2)
    first, second = (json.loads(line)["nodes"] for line in file.read_text().splitlines())
    assert [node.get("name") for node in first] == [f"clinic-{k}" for k in range(10)]
    assert second[1] | {"scores": 0} == {
        "node": str(NODES[1]),
        "name": "clinic-1",
        "accepted": False,
        "reason": "missing",
        "detail": "no reply",
        "weight": None,
        "scores": 0,
    }
    assert f"\t> dropped node clinic-1 ({NODES[1]}): missing: no reply" in strategy.audits[1].lines()


@pytest.mark.parametrize(
    ("config", "name"),
    [({"name": "a", "partition-id": 3}, "a"), ({"partition-id": 3}, "partition-3"), ({"data-path": "x"}, None)],
)
def test_without_a_name_the_configuration_is_asked(config: dict[str, Any], name: str | None) -> None:
    grid = InProcess(Quadratic([name_mod()]).app, nodes=NODES[:1])
    (message,) = strategy_of(min_train_nodes=1, min_available_nodes=1).configure_train(1, model(), ConfigRecord(), grid)
    context = grid.contexts[NODES[0]]
    context.node_config = config
    reply = name_mod()(message, context, lambda m, c: Message(message.content, reply_to=m))
    found = reply.content.config_records.get("fedward-name")
    assert (found and found["name"]) == name


def test_a_partition_in_the_metrics_is_a_name() -> None:
    def tell(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        reply.content["metrics"]["partition-id"] = int(context.node_config["partition-id"])
        return reply

    strategy = strategy_of()
    strategy.start(InProcess(Quadratic([tell]).app), model(), num_rounds=1)
    assert [v.name for v in strategy.audits[0].verdicts] == [f"partition-{k}" for k in range(10)]
    plain = strategy_of(names="ids")
    plain.start(InProcess(Quadratic([tell]).app), model(), num_rounds=1)
    assert {v.name for v in plain.audits[0].verdicts} == {""}


def test_another_node_that_claims_a_name_is_dropped_alone() -> None:
    first, second = rounds_of(lambda k, r: "clinic-3" if (k, r) == (8, 2) else (None if k == 8 else f"clinic-{k}"))
    assert first[8] == ("", "accepted")
    assert second[8] == ("", "name-taken")
    assert {k: v for k, v in second.items() if k != 8} == {k: (f"clinic-{k}", "accepted") for k in range(10) if k != 8}


def test_a_node_that_changes_its_name_is_dropped() -> None:
    """Else it would shed what a rule remembers of it."""
    first, second = rounds_of(lambda k, r: f"clinic-{k}-{r if k == 4 else 0}")
    assert first[4] == ("clinic-4-1", "accepted")
    assert second[4] == ("clinic-4-1", "wrong-name")
    assert all(reason == "accepted" for k, (_, reason) in second.items() if k != 4)


def test_a_name_that_two_claim_at_once_is_nobodys() -> None:
    """No one of them can be told from the other, so none may cost the other its vote."""
    first, second, third = rounds_of(
        lambda k, r: "clinic-0" if k in (0, 6) else None, rounds=3, lost=lambda node, r: r == 3 and node == NODES[6]
    )
    for found in (first, second):
        assert set(found.values()) == {("", "accepted")}
    assert third[0] == ("", "accepted")


@pytest.mark.parametrize(
    "said",
    [{"name": 7}, {"name": ""}, {"name": " \u200b"}, {"name": "x" * 65}, {"name": str(NODES[3])}, {"other": "a"}],
)
def test_what_is_no_name_is_a_verdict_on_that_node(said: Mapping[str, Any]) -> None:
    (found,) = rounds_of(lambda k, r: said if k == 5 else f"clinic-{k}", rounds=1)
    assert found[5] == ("", "wrong-name")
    assert sum(reason == "accepted" for _, reason in found.values()) == 9


def test_names_that_look_alike_are_one() -> None:
    _, second = rounds_of(lambda k, r: {1: "clinic", 2: None if r == 1 else "  \uff43linic\u200b "}.get(k))
    assert second[2] == ("", "name-taken")


UNSEEN = "\u034f\ufe0f\u2800\u115f\u1160\u3164\uffa0\u17b4\u180b\U000e0100\u00ad\u200b\u2060\ufff0\U0001d159"


@pytest.mark.parametrize("sign", UNSEEN, ids=lambda c: f"U+{ord(c):04X}")
def test_what_cannot_be_seen_makes_no_other_name(sign: str) -> None:
    """Else a liar is dropped under what reads as another one's name, who is honest."""
    _, second = rounds_of(lambda k, r: {1: "clinic-a", 2: None if r == 1 else f"clinic-a{sign}"}.get(k))
    assert second[2] == ("", "name-taken")
    (found,) = rounds_of(lambda k, r: f"{sign} 5{sign}" if k == 5 else None, rounds=1)
    assert found[5] == ("", "wrong-name")  # digits alone, as ids are


def test_letters_that_a_joiner_kept_apart_are_one_all_the_same() -> None:
    _, second = rounds_of(lambda k, r: {1: "caf\u00e9", 2: None if r == 1 else "cafe\u034f\u0301"}.get(k))
    assert second[2] == ("", "name-taken")


def test_a_verdict_repeats_a_claim_so_that_it_can_be_seen() -> None:
    strategy = strategy_of()

    def claim(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        if context.node_id == NODES[5]:
            reply.content["fedward-name"] = ConfigRecord({"name": "7\ufe0f\x1b[31m" + "x" * 90})
        return reply

    strategy.start(InProcess(Quadratic([claim]).app), model(), num_rounds=1)
    (verdict,) = strategy.audits[0].dropped
    assert "its name is 7\\ufe0f\\x1b[31mxxx" in verdict.detail


class Registered(InProcess):
    """A SuperLink that has registered some nodes by name."""

    registered: Mapping[int, str] = {}
    away: frozenset[int] = frozenset()

    def get_nodes(self) -> list[NodeInfo]:
        return [NodeInfo(node_id=n, name=self.registered.get(n)) for n in self.nodes if n not in self.away]


def test_what_the_superlink_has_registered_counts_before_what_nodes_say() -> None:
    grid = Registered(Quadratic([name_mod(lambda context: "a" if context.node_id != NODES[1] else "z")]).app)
    grid.registered = {NODES[0]: "a", NODES[1]: "b", NODES[2]: "c", NODES[3]: "c"}
    strategy = strategy_of()
    strategy.start(grid, model(), num_rounds=1)
    found = {NODES.index(v.node): (v.name, v.reason) for v in strategy.audits[0].verdicts}
    assert (found[0], found[1], found[4]) == (("a", "accepted"), ("b", "accepted"), ("", "name-taken"))
    alone = strategy_of(names="registered")
    alone.start(grid, model(), num_rounds=1)
    assert [v.name for v in alone.audits[0].verdicts] == ["a", "b", *[""] * 8]
    assert all(v.accepted for v in alone.audits[0].verdicts)


def test_a_node_that_registered_anew_goes_by_its_id() -> None:
    """It may be the same machine, or it may not: it is neither dropped nor given the other's memory."""
    grid = Registered(Quadratic([name_mod(lambda context: "a" if context.node_id in NODES[:2] else "b")]).app)
    grid.lost = lambda node, round: node == NODES[round - 1 if round == 2 else 1]
    strategy = strategy_of()
    strategy.start(grid, model(), num_rounds=1)
    first = strategy.audits[0]
    assert next(v for v in first.verdicts if v.node == NODES[0]).name == "a"
    grid.lost = lambda node, round: node == NODES[0]
    grid.away = frozenset(NODES[:1])
    replies = grid.send_and_receive(strategy.configure_train(2, model(), ConfigRecord(), grid))
    strategy.aggregate_train(2, replies)
    found = {v.node: v for v in strategy.audits[1].verdicts}
    assert (found[NODES[1]].name, found[NODES[1]].reason) == ("", "accepted")


@pytest.mark.parametrize("how", ["wrong-shape", "wrong-keys", "garbage", "no-metrics"])
def test_a_node_whose_replies_never_fit_has_its_name_all_the_same(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """After a restart it would come under another id, and nobody would know that it is the same."""
    strategy = strategy_of()
    app = Quadratic([name_mod(clinic), hostile.reply_mod(how, liars(2))]).app
    strategy.start(InProcess(app), model(), num_rounds=1)
    (dropped,) = strategy.audits[0].dropped
    assert dropped.name == "clinic-2"
    assert f"dropped node clinic-2 ({NODES[2]}): " in caplog.text
    plain = strategy_of(names="registered")
    plain.start(InProcess(app), model(), num_rounds=1)
    assert {v.name for v in plain.audits[0].verdicts} == {""}


def broken_at(*when: tuple[int, int]) -> Callable[[Message, Context, Any], Message]:
    """Nodes by place whose replies do not fit in a round."""

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        number = int(message.content["config"]["server-round"])
        if (int(context.node_config["partition-id"]), number) in when:
            hostile.WAYS["wrong-shape"](reply)
        return reply

    return mod


def test_a_name_in_a_reply_that_does_not_fit_is_bound_as_any_other() -> None:
    """It gives nobody more than a sound one would, and costs its own node nothing."""

    def found(called: Callable[[int], str], *when: tuple[int, int]) -> list[dict[int, tuple[str, str]]]:
        names = name_mod(lambda context: called(int(context.node_config["partition-id"])))
        strategy = strategy_of()
        strategy.start(InProcess(Quadratic([names, broken_at(*when)]).app), model(), num_rounds=2)
        return [{NODES.index(v.node): (v.name, str(v.reason)) for v in a.verdicts} for a in strategy.audits]

    own, both = (found(lambda k: f"clinic-{k}", (2, 1)), found(lambda k: f"clinic-{max(k, 1)}", (0, 1)))
    assert own[0][2] == ("clinic-2", "wrong-shape")
    assert own[1][2] == ("clinic-2", "accepted")
    assert [both[r][k] for r in (0, 1) for k in (0, 1)] == [
        ("", "wrong-shape"),
        ("", "accepted"),
        ("", "accepted"),
        ("", "accepted"),
    ]


def test_names_are_told_in_evaluations_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "audit.jsonl"
    strategy = RobustFedAvg(rule="mean", audit=file)
    grid = InProcess(Quadratic([name_mod(clinic)]).app)
    messages = strategy.configure_evaluate(1, model(), ConfigRecord(), grid)
    replies = list(grid.send_and_receive(messages))
    broken = next(reply.content for reply in replies if reply.metadata.src_node_id == NODES[3])
    broken["one"] = broken["other"] = broken.pop("metrics")
    strategy.aggregate_evaluate(1, replies)
    (line,) = map(json.loads, file.read_text().splitlines())
    assert {node["name"] for node in line["nodes"]} == {f"clinic-{k}" for k in range(10) if k != 3}
    assert f"left out the evaluation of node clinic-3 ({NODES[3]}): wrong-records" in caplog.text


@pytest.mark.parametrize("rule", ["fools-gold", "fl-detector:window=2"])
def test_rules_that_remember_clients_survive_a_restart_with_other_ids(rule: str, tmp_path: Path) -> None:
    mods = [name_mod(clinic), hostile.update_mod(attacks.SignFlip(scale=3), liars(0, 7))]

    def run(place: str, *parts: tuple[list[int], int]) -> RobustFedAvg:
        for nodes, rounds in parts:
            strategy = strategy_of(rule, checkpoint=tmp_path / place)
            strategy.start(InProcess(Quadratic(mods).app, nodes=nodes), model(), num_rounds=rounds)
        return strategy

    whole = run("whole.pt", (NODES, 8))
    parts = run("parts.pt", (NODES, 4), (OTHERS, 8))
    assert whole.arrays is not None
    assert parts.arrays is not None
    np.testing.assert_array_equal(vector(whole.arrays), vector(parts.arrays))
    assert [[v.reason for v in sorted(a.verdicts, key=lambda v: v.name)] for a in whole.audits[4:]] == [
        [v.reason for v in sorted(a.verdicts, key=lambda v: v.name)] for a in parts.audits
    ]
    if rule == "fools-gold":
        assert any("clinic-7" in name for name in parts.aggregator.state)
