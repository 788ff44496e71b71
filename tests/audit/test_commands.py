"""`fedward aggregate` and `fedward audit` on an auditor's folder: one command, the right verdicts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fedward.cli.app import app
from tests.processes import started, until

from .conftest import EXPECTED, METADATA, base_model, changes

HONEST = [i for i, reason in enumerate(EXPECTED.values()) if reason == "accepted"]


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_an_audit_has_the_right_verdict_on_each_of_twelve(updates: Path) -> None:
    status, text = invoke("audit", updates, "--base", "base.safetensors", "--json")
    assert status == 3
    found = json.loads(text)
    assert {c["id"]: c["reason"] for c in found["clients"]} == EXPECTED
    by_id = {c["id"]: c for c in found["clients"]}
    assert by_id["client-5"]["detail"] == "NaN or Inf in fc.weight"
    assert by_id["client-8"]["detail"].startswith("fc.bias has shape (127,), the model's has (128,)")
    assert "client-6" in by_id["client-6"]["detail"]
    assert by_id["client-3"]["evidence"]["cosine_to_median"] < 0 < by_id["client-0"]["evidence"]["cosine_to_median"]
    assert by_id["client-3"]["suspected_by"] == ["sign", "distance", "spectral", "clustering"]
    assert by_id["client-7"]["suspected_by"] == ["norm", "distance", "spectral"]
    assert all(not c["suspected_by"] for c in found["clients"] if c["reason"] == "accepted")


def test_what_is_aggregated_is_the_base_and_the_mean_of_those_who_are_accepted(updates: Path) -> None:
    status, text = invoke(
        "aggregate", updates, "--base", "base.safetensors", "--rule", "sign-guard", "-o", "g.safetensors"
    )
    assert status == 3
    for name, reason in EXPECTED.items():
        assert any(line.split()[:2] == [name, reason] for line in text.splitlines())
    model = load_file("g.safetensors")
    base = base_model()
    rows = np.stack([np.concatenate([t.double().numpy().ravel() for t in change.values()]) for change in changes()])
    # Clipped to the median norm over all rows that a rule sees, as the formula has it.
    factors = np.ones(12)
    factors[[3, 7]] = -1, 10
    seen = [i for i, reason in enumerate(EXPECTED.values()) if reason not in ("nonfinite", "malformed")]
    norms = np.linalg.norm(rows * factors[:, None], axis=1)
    radius = np.median(norms[seen])
    mean = np.mean([rows[i] * min(1, radius / norms[i]) for i in HONEST], axis=0)
    at = 0
    for name, start in base.items():
        end = at + start.numel()
        np.testing.assert_allclose(model[name].numpy().ravel(), start.numpy().ravel() + mean[at:end], rtol=0, atol=1e-6)
        assert (model[name].shape, model[name].dtype) == (start.shape, start.dtype)
        at = end
    with safe_open("g.safetensors", framework="pt") as file:
        assert file.metadata() == METADATA


def test_all_accepted_is_status_0_and_an_error_2(updates: Path) -> None:
    good = [updates / f"client-{i}.safetensors" for i in (0, 1, 2, 4, 9, 11)]
    assert invoke("aggregate", *good, "--base", "base.safetensors", "--rule", "median", "-o", "g.pt")[0] == 0
    assert set(torch.load("g.pt", weights_only=True)) == set(base_model())
    for arguments, says in [
        ((*good, "--base", "absent.safetensors"), "the base absent.safetensors"),
        ((*good,), "these are weights, not updates"),
        (("nothing-*.pt", "--base", "base.safetensors"), "nothing matches"),
        ((updates, "--base", "base.safetensors", "--strict"), "client client-6"),
        (
            (updates / "client-6.safetensors", "--base", "base.safetensors"),
            "no client's model can be read: client client-6: ",
        ),
    ]:
        for command in (("audit",), ("aggregate", "--rule", "mean", "-o", "x.pt")):
            status, text = invoke(*command, *arguments)
            assert status == 2, (command, arguments, text)
            assert says in " ".join(text.split()), (command, text)
    status, text = invoke("aggregate", *good[:3], "--base", "base.safetensors", "--rule", "krum:f=2", "-o", "x.pt")
    assert status == 2
    assert "n >= 2f + 3 = 7 clients" in " ".join(text.split())
    assert not Path("x.pt").exists()


def test_raw_weights_are_refused_with_the_remedies_and_taken_knowingly(updates: Path) -> None:
    status, text = invoke("audit", updates, "--json")
    assert status == 2
    assert all(word in text for word in ("--base", "median-of-clients", "--raw"))
    assert invoke("audit", updates, "--raw", "--json")[0] == 3
    centred, text = invoke("audit", updates, "--base", "median-of-clients", "--json")
    assert centred == 3
    found = {c["id"]: c for c in json.loads(text)["clients"]}
    assert found["client-7"]["reason"] == "norm-too-large"


@pytest.mark.parametrize("rule", ["median", "trimmed-mean:f=2", "mea-med:f=2", "phocas:f=2"])
def test_column_rules_say_in_how_many_columns_a_client_was_trimmed(updates: Path, rule: str) -> None:
    _, text = invoke("aggregate", updates, "--base", "base.safetensors", "--rule", rule, "-o", "g.npz", "--json")
    told = json.loads(text)
    trimmed = dict(zip(told["ids"], told["scores"]["trimmed"], strict=True))
    assert trimmed["client-5"] is None
    assert trimmed["client-7"] > max(trimmed[f"client-{i}"] for i in HONEST)
    assert np.load("g.npz")["fc.weight"].shape == (128, 800)


def test_calibration_plays_attacks_on_these_files(updates: Path) -> None:
    status, text = invoke("audit", updates, "--base", "base.safetensors", "--calibrate", "--json", "--report", "p.html")
    assert status == 3
    calibration = json.loads(text)["calibration"]
    assert (calibration["forgers"], calibration["honest"]) == (2, 5)
    caught = {attack["attack"]: attack for attack in calibration["attacks"]}
    assert caught["no-attack"]["together"] == caught["no-attack"]["wrongly_together"] == 0
    assert caught["sign-flip"]["together"] == caught["scaling:factor=10.0"]["together"] == 1
    assert caught["alie:z=0.3"]["together"] == 0  # what is known not to be seen is said to be not seen
    page = Path("p.html").read_text()
    assert "What this panel would have caught here" in page


def test_rules_of_ones_own_choice_are_the_panel(updates: Path) -> None:
    arguments = ("audit", updates, "--base", "base.safetensors", "--rule", "sign-guard", "--rule", "median", "--json")
    found = json.loads(invoke(*arguments)[1])
    assert [member["rule"] for member in found["panel"]] == ["sign-guard", "median"]
    assert found["needed"] == 1
    assert {c["id"]: c["reason"] for c in found["clients"]} == EXPECTED
    assert found["clients"][7]["scores"]["median"]["trimmed"] > 0.9


def test_what_a_name_holds_cannot_move_the_terminal_or_the_page(updates: Path) -> None:
    wicked = "a\x1b[31m\u202e<script>\n\rb"
    weights = {name: tensor + 0.01 for name, tensor in base_model().items()}
    save_file(weights, updates / f"{wicked.replace('/', '')}.safetensors")
    status, text = invoke("audit", updates, "--base", "base.safetensors", "--report", "p.html")
    assert status == 3
    assert not {"\x1b", "\u202e", "\r"} & set(text)
    assert "\\x1b[31m\\u202e<script>" in text
    page = Path("p.html").read_text()
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "a\\x1b[31m\\u202e&lt;script&gt;" in page
    assert "<script>\\n" not in page
    told = invoke("audit", updates, "--base", "base.safetensors", "--json")[1]
    assert not {"\x1b", "\u202e", "\r"} & set(told)
    assert wicked in [client["id"] for client in json.loads(told)["clients"]]


def test_a_kill_leaves_no_output_under_the_final_name(updates: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "fedward",
        "aggregate",
        str(updates),
        "--base",
        "base.safetensors",
        "--rule",
        "mean",
    ]
    slow = tmp_path / "sitecustomize.py"
    # The process stops in the middle of the output, as a machine may.
    slow.write_text(
        "import os, time\n"
        "def watch():\n"
        "    import fedward.stack.written as w\n"
        "    old = w._write_safetensors\n"
        "    def stalled(file, tensors, metadata):\n"
        "        file.write(b'half'); file.flush(); open('stalled', 'w').close(); time.sleep(600)\n"
        "    w._write_safetensors = stalled\n"
        "watch()\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    with started([*command, "-o", "g.safetensors"], env=environment, stdout=subprocess.DEVNULL) as process:
        until(lambda: Path("stalled").exists())
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not Path("g.safetensors").exists()


def test_what_cannot_be_done_is_said_before_anything_is_written(updates: Path) -> None:
    good = [updates / f"client-{i}.safetensors" for i in (0, 1, 2)]
    based = (*good, "--base", "base.safetensors")
    before = good[0].read_bytes()
    for arguments, says in [
        (("--rule", "mean", "-o", good[0]), "is a client's"),
        (("--rule", "mean", "-o", "no/such/folder.pt"), "make it first"),
        (("--rule", "mean", "-o", "x.gguf"), "the output is one of"),
        (("--rule", "krumm:f=1", "-o", "x.pt"), "krum"),
        (("--rule", "fl-trust", "-o", "x.pt"), "data of the server's own"),
    ]:
        status, text = invoke("aggregate", *based, *arguments)
        assert status == 2, text
        assert says in " ".join(text.split())
        assert "fault of fedward" not in text
    assert good[0].read_bytes() == before
    assert not Path("x.pt").exists()
    status, text = invoke("audit", *good[:2], "--base", "base.safetensors", "--calibrate")
    assert status == 2
    assert "leave it out" in " ".join(text.split())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_clients_are_audited_too(updates: Path, n: int) -> None:
    good = [updates / f"client-{i}.safetensors" for i in range(n)]
    status, text = invoke("audit", *good, "--base", "base.safetensors", "--json", "--report", "p.html")
    assert status == (0 if n > 2 else 3), text
    found = json.loads(text)["clients"]
    assert [client["reason"] for client in found] == ["accepted" if n > 2 else "not-judged"] * n


def test_strict_is_about_nan_too(updates: Path) -> None:
    files = [updates / f"client-{i}.safetensors" for i in (0, 1, 2, 5)]
    status, text = invoke("audit", *files, "--base", "base.safetensors", "--strict")
    assert status == 2
    assert "client-5: NaN or Inf in fc.weight" in " ".join(text.split())


def test_a_thousand_clients_do_not_need_a_thousand_open_files(updates: Path) -> None:
    model = load_file(updates / "client-0.safetensors")
    save_file({"w": model["fc.bias"] * 0}, "small.safetensors")
    many = Path("many")
    many.mkdir()
    generator = torch.Generator().manual_seed(0)
    for k in range(1100):
        save_file({"w": torch.randn(128, generator=generator) + 1}, many / f"{k}.safetensors")
    status, text = invoke("aggregate", many, "--base", "small.safetensors", "--rule", "median", "-o", "x.pt", "--json")
    assert status == 0, text[-2000:]
    assert len(json.loads(text)["ids"]) == 1100
