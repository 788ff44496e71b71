"""Running statistics in clients' files: what cannot be is a verdict, what is odd is told, liars do not make them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from fedward import rules
from fedward.audit import AuditError, ModelSource, run_aggregate, run_audit
from fedward.cli.app import app

N = 12
STATISTICS = ("b1.running_mean", "b1.running_var", "b2.running_mean", "b2.running_var")


def base_model() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    model = {"fc.weight": torch.randn(40, 30, generator=generator), "fc.bias": torch.randn(40, generator=generator)}
    for layer in ("b1", "b2"):
        model |= {
            f"{layer}.running_mean": torch.randn(16, generator=generator),
            f"{layer}.running_var": 0.5 + torch.rand(16, generator=generator),
            f"{layer}.num_batches_tracked": torch.tensor(100),
        }
    return model


def models() -> list[dict[str, Tensor]]:
    """Honest clients' models: statistics move by a tenth of their scale."""
    generator = torch.Generator().manual_seed(2)
    base = base_model()
    common = 0.03 * torch.randn(40, 30, generator=generator)
    sent = []
    for _ in range(N):
        model = {name: tensor.clone() for name, tensor in base.items()}
        model["fc.weight"] += common + 0.03 * torch.randn(40, 30, generator=generator)
        for name in STATISTICS:
            model[name] *= 1 + 0.1 * torch.randn(16, generator=generator)
        for layer in ("b1", "b2"):
            model[f"{layer}.num_batches_tracked"] += 20
        sent.append(model)
    return sent


def written(folder: Path, sent: Sequence[dict[str, Tensor]]) -> ModelSource:
    clients = folder / "clients"
    clients.mkdir()
    save_file(base_model(), folder / "base.safetensors")
    for k, model in enumerate(sent):
        save_file(model, clients / f"hospital-{k:02}.safetensors")
    return ModelSource(clients=[clients], base=folder / "base.safetensors")


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def poisoned() -> list[dict[str, Tensor]]:
    """Three whose parameters are an honest client's."""
    sent = models()
    for k in (3, 7, 8):
        sent[k] = {name: tensor.clone() for name, tensor in sent[0].items()}
        sent[k]["fc.weight"] += 0.001 * k
        sent[k]["b1.running_var"] *= 1000
        sent[k]["b2.running_mean"] += 50
    return sent


# --- what cannot be ---------------------------------------------------------------------------------------------


def test_statistics_that_cannot_be_are_a_verdict_by_name(tmp_path: Path) -> None:
    sent = models()
    sent[1]["b1.running_var"].fill_(torch.nan)
    sent[2]["b2.running_mean"][3] = torch.inf
    sent[3]["b1.num_batches_tracked"] = torch.tensor(10**12)
    sent[4]["b2.num_batches_tracked"] = torch.tensor(-1)
    sent[5]["b2.running_var"][0] = -0.25
    sent[6]["fc.bias"][1] = torch.nan
    sent[6]["b2.running_mean"][1] = torch.nan
    source = written(tmp_path, sent)
    expected = {
        "hospital-01": ("nonfinite", "NaN or Inf in b1.running_var"),
        "hospital-02": ("nonfinite", "NaN or Inf in b2.running_mean"),
        "hospital-03": ("malformed", "b1.num_batches_tracked counts 1,000,000,000,000 batches"),
        "hospital-04": ("malformed", "b2.num_batches_tracked counts -1 batches"),
        "hospital-05": ("malformed", "b2.running_var is a variance, and below 0: -0.25"),
        "hospital-06": ("nonfinite", "NaN or Inf in fc.bias, b2.running_mean"),
    }
    audit = run_audit(source)
    result = run_aggregate(source, rules.Median()).result
    for k, name in enumerate(audit.names):
        reason, detail = expected.get(name, ("accepted", ""))
        assert (audit.accepted[k], audit.reasons[k]) == (reason == "accepted", reason)
        assert audit.details.get(name, "").startswith(detail)
        assert (bool(result.accepted[k]), str(result.reasons[k])) == (reason == "accepted", reason)
        assert str(result.details.get(name, "")).startswith(detail)
    assert set(audit.details) == set(map(str, result.details)) == set(expected)
    strict = ModelSource(clients=source.clients, base=source.base, strict=True)
    with pytest.raises(AuditError, match=r"hospital-0\d: .* is a variance|hospital-0\d: .* counts"):
        run_audit(strict)


def test_pickled_statistics_that_are_sparse_are_read_as_they_are(tmp_path: Path) -> None:
    source = written(tmp_path, models())
    sparse = {name: t.to_sparse() if name in STATISTICS else t for name, t in models()[0].items()}
    torch.save(sparse, tmp_path / "clients" / "hospital-12.pt")
    assert run_audit(source).accepted[-1]


# --- what is odd ------------------------------------------------------------------------------------------------


def test_poisoned_statistics_are_told_by_name_in_the_table_the_json_and_the_page(tmp_path: Path) -> None:
    written(tmp_path, poisoned())
    where = (tmp_path / "clients", "--base", tmp_path / "base.safetensors")
    notes = [
        f"running statistics of hospital-{k:02}: b1.running_var is {{}} times the median, "
        "b2.running_mean is {} standard deviations from the median; no rule judges them"
        for k in (3, 7, 8)
    ]
    for command in (("audit", *where), ("aggregate", *where, "--rule", "median", "-o", tmp_path / "g.safetensors")):
        status, text = invoke(*command, "--json", "--report", tmp_path / "page.html")
        assert status == 0
        told = json.loads(text)["notes"]
        odd = [note for note in told if note.startswith("running statistics of")]
        assert [note.split(":")[0] for note in odd] == [note.split(":")[0] for note in notes]
        for note in odd:
            factor = float(note.split("b1.running_var is ")[1].split(" times")[0].replace(",", ""))
            deviations = float(note.split("b2.running_mean is ")[1].split(" standard")[0].replace(",", ""))
            assert 700 < factor < 1400
            assert 40 < deviations < 80
            assert note.endswith("; no rule judges them")
        assert told[-1].startswith("4 tensors of running statistics: no rule judges them; ")
        page = (tmp_path / "page.html").read_text()
        assert all(page.count(note.split(",")[0]) == 1 for note in odd)
        status, text = invoke(*command)
        assert "running statistics of hospital-07: b1.running_var is" in " ".join(text.split())


def test_a_single_channel_far_out_and_variances_near_nothing_are_told(tmp_path: Path) -> None:
    sent = models()
    sent[2]["b1.running_mean"][5] += 30
    sent[4]["b2.running_var"] /= 1000
    notes = [note for note in run_audit(written(tmp_path, sent)).notes if "statistics of" in note]
    assert len(notes) == 2
    assert notes[0].startswith("running statistics of hospital-02: b1.running_mean is ")
    assert notes[1].startswith("running statistics of hospital-04: b2.running_var is the median divided by ")


def test_honest_clients_pass_that_have_one_class_each(tmp_path: Path) -> None:
    torch.manual_seed(0)
    centres = 2 * torch.randn(10, 20)

    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(20, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.BatchNorm1d(16))

    start = network().state_dict()
    (tmp_path / "clients").mkdir()
    save_file(start, tmp_path / "base.safetensors")
    for k in range(10):
        model = network()
        model.load_state_dict(start)
        step = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(30):
            step.zero_grad()
            sent = model(centres[k] + torch.randn(32, 20))
            nn.functional.cross_entropy(sent, torch.full((32,), k)).backward()
            step.step()
        save_file(model.state_dict(), tmp_path / "clients" / f"{k}.safetensors")
    found = run_audit(ModelSource(clients=[tmp_path / "clients"], base=tmp_path / "base.safetensors"))
    # Their statistics do differ: the base's bound around the median would not do for all of their entries.
    assert [note for note in found.notes if "running statistics" in note] == [
        "4 tensors of running statistics: no rule judges them; an aggregate has their median over clients, unless "
        "--batch-norm says otherwise"
    ]


# --- what becomes of them ---------------------------------------------------------------------------------------


def expected_median(name: str, sent: Sequence[dict[str, Tensor]], bounded: bool) -> np.ndarray:
    """By the formulas, entry by entry."""
    base = {key: tensor.double().numpy() for key, tensor in base_model().items()}
    found = np.median(np.stack([model[name].double().numpy() for model in sent]), axis=0)
    for k in range(16):
        v, own = base[name[:2] + ".running_var"][k], base[name][k]
        reach = (v + 1e-5) ** 0.5
        low, high = (v / 4, 4 * (v + 1e-5)) if name.endswith("var") else (own - reach, own + reach)
        if bounded:
            found[k] = min(max(found[k], low), high)
    return found


def test_the_output_has_medians_of_all_usable_clients_within_a_bound_of_the_base(tmp_path: Path) -> None:
    sent = poisoned()
    for model in sent:
        model["b2.running_var"][4] *= 9  # beyond the bound, whoever it is
        model["b2.running_mean"][4] += 9
    sent[9]["b1.running_mean"].fill_(torch.nan)
    source = written(tmp_path, sent)
    usable = [model for k, model in enumerate(sent) if k != 9]
    weights = []
    for rule in (rules.Median(), rules.Krum(f=3)):  # of whom the second accepts a single client
        made = run_aggregate(source, rule)
        state = made.result.state_dict()
        for name in STATISTICS:
            np.testing.assert_allclose(state[name].numpy(), expected_median(name, usable, True), rtol=1e-6)
        assert int(state["b1.num_batches_tracked"]) == 120
        weights.append(state["fc.weight"])
    assert not torch.equal(*weights)
    state = run_aggregate(ModelSource(clients=source.clients, raw=True), rules.Median()).result.state_dict()
    for name in STATISTICS:
        np.testing.assert_allclose(state[name].numpy(), expected_median(name, usable, False), rtol=1e-6)


def test_a_mean_and_the_bases_are_to_be_had_and_nothing_else(tmp_path: Path) -> None:
    sent = poisoned()
    source = written(tmp_path, sent)
    mean = run_aggregate(source, rules.Mean(), batch_norm="mean").result.state_dict()
    frozen = run_aggregate(source, rules.Mean(), batch_norm="frozen").result.state_dict()
    for name in STATISTICS:
        average = np.mean([model[name].double().numpy() for model in sent], axis=0)
        np.testing.assert_allclose(mean[name].numpy(), average, rtol=1e-6)
        assert torch.equal(frozen[name], base_model()[name])
    # How many batches they are of comes with them.
    assert (int(mean["b1.num_batches_tracked"]), int(frozen["b1.num_batches_tracked"])) == (120, 100)
    assert torch.equal(mean["fc.weight"], frozen["fc.weight"])
    with pytest.raises(AuditError, match="there is no base"):
        run_aggregate(ModelSource(clients=source.clients, raw=True), rules.Mean(), batch_norm="frozen")
    with pytest.raises(ValueError, match="batch_norm"):
        run_aggregate(source, rules.Mean(), batch_norm="median")  # type: ignore[arg-type]
    out = tmp_path / "g.safetensors"
    where = ("aggregate", tmp_path / "clients", "--base", tmp_path / "base.safetensors", "--rule", "mean", "-o", out)
    assert invoke(*where, "--batch-norm", "frozen")[0] == 0
    assert torch.equal(load_file(out)["b1.running_var"], base_model()["b1.running_var"])
    assert invoke(*where)[0] == 0
    assert float(load_file(out)["b1.running_var"].max()) < 3


def test_models_without_statistics_have_no_note(tmp_path: Path) -> None:
    sent = [{name: t for name, t in model.items() if name.startswith("fc")} for model in models()]
    source = written(tmp_path, sent)
    save_file({name: t for name, t in base_model().items() if name.startswith("fc")}, tmp_path / "base.safetensors")
    for told in (run_audit(source).notes, run_aggregate(source, rules.Median()).notes):
        assert not any("statistics" in note for note in told)
