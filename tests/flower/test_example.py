"""The example app with Flower's own processes: once in simulation with Ray, once as a deployment with TLS."""

from __future__ import annotations

import json
import signal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.loaded import module_of
from tests.processes import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "flower-signguard"

pytestmark = pytest.mark.skipif(
    tuple(map(int, version("flwr").split(".")[:2])) < (1, 40),
    reason=f"flwr {version('flwr')} speaks gRPC to its nodes and has other options; the script is for 1.40 and newer",
)


deploy = module_of(EXAMPLE / "deploy.py")


def rounds(audit: Path) -> list[dict[str, Any]]:
    text = audit.read_text() if audit.exists() else ""
    entries = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [entry for entry in entries if "evaluated" not in entry]


class Simulation(deploy.Federation):  # type: ignore[name-defined,misc]
    """A SuperLink that simulates the nodes; started here, so that no daemon of ``flwr run`` outlives the test."""

    def __enter__(self) -> Simulation:
        home = self.folder / "flwr"
        home.mkdir()
        (home / "config.toml").write_text(f'[superlink.loopback]\naddress = "127.0.0.1:{self.port}"\ninsecure = true\n')
        arguments = ["--insecure", "--simulation", "--host", "127.0.0.1", "--port", str(self.port)]
        self.start("superlink", "flower-superlink", *arguments)
        self._wait_for_port("superlink", self.port)
        return self

    def run(self, **config: object) -> Any:
        given = " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())
        nodes = "num-supernodes=10 client-resources-num-cpus=1 init-args-num-cpus=2"
        command = ["flwr", "run", str(EXAMPLE), "loopback", "--stream", "--run-config", given]
        return self.start("run", *command, "--federation-config", nodes)


def test_a_simulation_with_ray(tmp_path: Path) -> None:
    audit, save = tmp_path / "audit.jsonl", tmp_path / "accuracy.json"
    with Simulation(tmp_path) as simulation:
        process = simulation.run(rounds=3, rule="multi-krum:f=2", audit=str(audit), save=str(save))
        until(lambda: process.poll() is not None, lambda: simulation.log("run"))
        log = simulation.log("run")
    assert save.exists(), log
    accuracy = json.loads(save.read_text())
    assert accuracy["3"] > 0.7
    found = rounds(audit)
    assert [entry["round"] for entry in found] == [1, 2, 3]
    assert all({n.get("name") for n in entry["nodes"]} == {f"partition-{k}" for k in range(10)} for entry in found)
    # The two that attack are the same in every round, ten times as long as the others, and never kept.
    always = set.intersection(*({n["node"] for n in entry["nodes"] if not n["accepted"]} for entry in found))
    assert len(always) >= 2
    assert all(n["reason"] in ("accepted", "far") for entry in found for n in entry["nodes"])


def test_a_deployment_with_tls_and_keys_of_three_nodes(tmp_path: Path) -> None:
    audit, save = tmp_path / "audit.jsonl", tmp_path / "accuracy.json"
    with deploy.Federation(tmp_path) as federation:
        federation.deal(3)
        nodes = []
        for partition in range(3):
            nodes.append(federation.register(partition))
            federation.start_node(partition, attacks=partition == 0)
        stranger = federation.start_node(3)  # with a key that nobody registered
        until(lambda: federation.online() == 3, lambda: federation.log("node-0"))
        config = {"rounds": 3, "rule": "trimmed-mean:f=1", "nodes": 3}
        run = federation.run(**config, audit=str(audit), save=str(save))
        until(lambda: len(rounds(audit)) == 1 or run.poll() is not None, lambda: federation.log("run"))
        federation.stop("node-2", signal.SIGKILL)
        until(lambda: run.poll() is not None, lambda: federation.log("run"))
        assert stranger.poll() not in (None, 0)
        assert "Failed to activate SuperNode" in federation.log("node-3")
        assert federation.online() == 2
        log = federation.log("run")
    assert save.exists(), log
    first, second, third = rounds(audit)
    assert first["skipped"] is None
    assert [n["node"] for n in first["nodes"]] == sorted(nodes, key=int)
    reasons = {n["node"]: n["reason"] for n in second["nodes"]}
    assert reasons[nodes[2]] in ("missing", "error")
    for entry in (second, third):
        assert entry["skipped"] == "TrimmedMean(f=1) needs n >= 2f + 1 = 3 clients, got 2 (f is at most 0)"
    accuracy = json.loads(save.read_text())
    assert accuracy["1"] == accuracy["2"] == accuracy["3"] > 0.5
