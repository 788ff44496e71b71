"""`fedward aggregate` says as much as `fedward audit`: who is turned, what was found, where panel and rule disagree."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import fedward as fw
from fedward.audit import ModelSource, evidence_of, panel_on, run_aggregate
from fedward.audit import notes as audit_notes
from fedward.cli.app import app
from fedward.stack import Dense

from .conftest import changes

BASED = ("--base", "base.safetensors")


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code in (0, 3), done.output
    return done.stdout


def aggregated(*arguments: object, rule: str = "mean") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("aggregate", "updates", *BASED, "--rule", rule, "-o", "g.npz", "--json", *arguments)
    )
    return found


def row(page: str, name: str) -> str:
    return page.split(f"{name}</span></td>")[1].split("</tr>")[0]


def test_who_is_accepted_though_turned_against_the_others_is_named_with_the_figure_of_an_audit(updates: Path) -> None:
    audit = json.loads(run("audit", "updates", *BASED, "--json"))
    cosine = audit["clients"][3]["evidence"]["cosine_to_median"]
    said = f"client-3 is accepted by mean, but turned against the others: cosine {cosine:.2f}"
    assert aggregated()["notes"][0] == said
    assert said in run("aggregate", "updates", *BASED, "--rule", "mean", "-o", "g.npz")
    assert aggregated("--report", "p.html")["panel"]["notes"].count(said) == 1
    assert said in Path("p.html").read_text()
    assert "turned against" not in json.dumps(aggregated(rule="sign-guard"))  # which drops it


def test_the_median_is_asked_for_only_where_somebody_may_be_turned(
    updates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    original = audit_notes.cosines_to_median
    monkeypatch.setattr(audit_notes, "cosines_to_median", lambda rows: asked.append(rows) or original(rows))
    source = ModelSource(clients=["updates"], base="base.safetensors")
    run_aggregate(source, fw.rules.SignGuard())
    assert not asked
    run_aggregate(source, fw.rules.Mean())
    assert len(asked) == 1


@pytest.mark.parametrize("seed", range(5))
def test_nobody_who_is_turned_is_missed_before_the_median_is_asked_for(seed: int) -> None:
    """The angle to the mean direction of the others is small wherever that to the median is below 0."""
    generator = torch.Generator().manual_seed(seed)
    G = torch.randn(11, 400, generator=generator, dtype=torch.float64) + torch.randn(400, generator=generator)
    G[:3] *= torch.tensor([[-1.0], [-20.0], [-0.01]])
    evidence = evidence_of(Dense(G))
    turned = evidence.to_median < -0.05
    assert int(turned.sum()) >= 3
    near = torch.tensor(audit_notes._to_others(evidence.cosines))
    assert bool((near[turned] < audit_notes._NEAR).all())
    others = G / G.norm(dim=1, keepdim=True)
    expected = [float(torch.cosine_similarity(G[i], others.sum(0) - others[i], dim=0)) for i in range(len(G))]
    torch.testing.assert_close(near, torch.tensor(expected, dtype=near.dtype), atol=1e-6, rtol=0)


def test_what_was_found_among_the_files_is_told_by_both(updates: Path) -> None:
    (updates / "readme.dat").write_bytes(b"x")
    shutil.copy("base.safetensors", updates / "base.safetensors")
    shutil.copy(updates / "client-0.safetensors", updates / "twin.safetensors")
    expected = {
        "no models, and left out: readme.dat",
        "base.safetensors is the base, and no client",
        "client-0, twin sent the same: copies, or one sender under several names",
    }
    assert expected <= set(json.loads(run("audit", "updates", *BASED, "--json"))["notes"])
    assert expected <= set(aggregated()["notes"])
    printed = run("aggregate", "updates", *BASED, "--rule", "median", "-o", "g.npz")
    assert all(note in printed for note in expected)


def test_copies_are_told_of_updates_without_a_base_too() -> None:
    folder = Path("sent")
    folder.mkdir()
    for k, change in enumerate(changes(6)):
        save_file(change, folder / f"client-{k}.safetensors")
    shutil.copy(folder / "client-2.safetensors", folder / "twin.safetensors")
    found = json.loads(run("aggregate", "sent", "--raw", "--rule", "median", "-o", "g.npz", "--json"))
    assert any(note.startswith("client-2, twin sent the same") for note in found["notes"])


def test_the_page_of_an_aggregation_says_who_decides_and_where_the_panel_disagrees(updates: Path) -> None:
    panel = aggregated("--report", "p.html", rule="krum:f=2")["panel"]
    audit = {client["id"]: client for client in json.loads(run("audit", "updates", *BASED, "--json"))["clients"]}
    assert panel["rule"] == "krum:f=2"
    assert panel["needed"] == 2
    by_id = {client["id"]: client for client in panel["clients"]}
    for name, client in by_id.items():
        usable = audit[name]["reason"] not in ("malformed", "nonfinite")
        assert client["accepted_by_panel"] == (audit[name]["accepted"] if usable else None)
        assert (client["votes"], client["suspected_by"]) == (audit[name]["votes"], audit[name]["suspected_by"])
    page = Path("p.html").read_text()
    assert "A client is dropped if <code>krum:f=2</code> drops it" in page
    assert "A client is dropped if 3 rules" not in page
    assert "<li><b>krum:f=2</b>: the rule that decided; it has no vote</li>" in page
    kept = next(name for name, client in by_id.items() if client["accepted"])
    left = next(name for name, client in by_id.items() if client["accepted_by_panel"] and not client["accepted"])
    assert "<td>agrees</td>" in row(page, kept)
    assert "<td><b>accepts it</b></td>" in row(page, left)
    assert "<td>agrees</td>" in row(page, "client-3")
    assert "<td>cannot judge</td>" in row(page, "client-5")
    assert any(re.match(r"krum:f=2 dropped client-\d+, .*, whom the panel accepts", note) for note in panel["notes"])
    aggregated("--report", "p.html")
    page = Path("p.html").read_text()
    assert "<td><b>suspects it</b><small>norm, distance, spectral</small></td>" in row(page, "client-7")
    assert "mean accepted client-3, client-7, whom the panel suspects" in page


def test_the_page_of_an_audit_says_suspected_and_who_is_not_accepted(updates: Path) -> None:
    run("audit", "updates", *BASED, "--report", "p.html")
    page = Path("p.html").read_text().split("<main>")[1].split("<script")[0]
    assert "A client is not accepted if 2 rules or more of 5 suspect it, or if its files cannot be used." in page
    assert "2 suspected, 3 unusable" in page
    assert "dropped" not in page
    assert "The panel</th>" not in page


def test_the_rule_that_decided_has_no_vote(updates: Path) -> None:
    source = ModelSource(clients=["updates"], base="base.safetensors")
    rule = fw.parse("krum:f=2", "rule")
    assert isinstance(rule, fw.Rule)
    audit = panel_on(run_aggregate(source, rule), source, rule)
    assert len(audit.opinions) == 6
    assert audit.heard == 5
    assert max(audit.votes) == 4
