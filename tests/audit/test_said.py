"""What is said beside the verdicts: doubts of the base, limits of the panel, and errors that name what is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import fedward as fw
from fedward.audit import ModelSource, run_aggregate
from fedward.cli.app import app

from .conftest import EXPECTED, base_model, changes

ROOT = Path(__file__).parents[2]
BASED = ("--base", "base.safetensors")


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


def write(model: dict[str, torch.Tensor], path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_file(model, path)
    return path


def test_a_base_that_nobody_started_from_is_doubted(updates: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    write(
        {name: torch.randn(t.shape, generator=generator) for name, t in base_model().items()}, Path("wrong.safetensors")
    )
    wrong = ("--base", "wrong.safetensors")
    _, text, errors = run("audit", updates, *wrong, "--json", "--report", "p.html")
    assert re.match(
        r"changes of most clients are nearly the same .* is the base the model", json.loads(text)["notes"][0]
    )
    assert errors.startswith("Warning: changes of most clients")
    assert "changes of most clients are nearly the same" in Path("p.html").read_text()
    assert "Warning: changes of most clients" in run("audit", updates, *wrong)[1]
    asked = ("aggregate", updates, *wrong, "--rule", "median", "-o", "g.npz")
    assert "Warning: changes of most clients" in run(*asked)[1]
    _, text, errors = run(*asked, "--json")
    assert "nearly the same" in json.loads(text)["notes"][0]
    assert "nearly the same" in errors
    _, text, errors = run("audit", updates, *BASED, "--json")
    assert "nearly" not in errors + text


def test_a_base_among_the_clients_is_left_out_and_named(updates: Path) -> None:
    inside = updates / "base.safetensors"
    shutil.copy("base.safetensors", inside)
    for base in ("base.safetensors", inside):
        found = json.loads(run("audit", updates, "--base", base, "--json")[1])
        assert {c["id"]: c["reason"] for c in found["clients"]} == EXPECTED
        assert "base.safetensors is the base, and no client" in found["notes"]
    inside.rename(updates / "lazy.safetensors")  # whoever sends the base back is a client
    found = json.loads(run("audit", updates, *BASED, "--json")[1])
    assert {c["id"]: c["reason"] for c in found["clients"]}["lazy"] == "norm-too-small"
    sites = Path("sites")
    for k in range(3):
        (sites / f"site-{k}").mkdir(parents=True)
        shutil.copy(updates / f"client-{k}.safetensors", sites / f"site-{k}" / "model.safetensors")
    shutil.copy("base.safetensors", "model.safetensors")
    shutil.copy("base.safetensors", sites / "site-2" / "model.safetensors")
    found = json.loads(run("audit", sites, "--base", "model.safetensors", "--json")[1])
    assert [c["id"] for c in found["clients"]] == ["site-0", "site-1", "site-2"]
    found = json.loads(run("audit", sites, "--base", sites / "site-2", "--json")[1])
    assert [c["id"] for c in found["clients"]] == ["site-0", "site-1"]


def test_the_most_telling_reason_is_the_verdict(updates: Path) -> None:
    rules = ("--rule", "krum:f=2", "--rule", "sign-guard", "--votes", 2)
    found = {c["id"]: c for c in json.loads(run("audit", updates, *BASED, *rules, "--json")[1])["clients"]}
    assert "(far)" in found["client-3"]["detail"] or "(not-selected)" in found["client-3"]["detail"]
    assert found["client-3"]["reason"] == "sign-outlier"
    assert found["client-7"]["reason"] == "norm-too-large"


def test_what_the_panel_was_told_is_said_and_that_it_found_as_many(updates: Path) -> None:
    notes = json.loads(run("audit", updates, *BASED, "--json")[1])["notes"]
    assert "distance, spectral: told of f = 2 (--f 2) among 9 usable clients" in notes
    assert any("as many are suspected as the rules were told (f = 2)" in n and "--f 3" in n for n in notes)
    good = [updates / f"client-{i}.safetensors" for i, r in enumerate(EXPECTED.values()) if r == "accepted" and i != 10]
    notes = json.loads(run("audit", *good, *BASED, "--json")[1])["notes"]
    assert notes == ["distance, spectral: told of f = 1 (--f 1) among 6 usable clients"]
    notes = json.loads(run("audit", updates, *BASED, "--f", 4, "--json")[1])["notes"]
    assert any("could not decide" in n and n.endswith("(9 of 12 clients are usable)") for n in notes)


def test_who_is_accepted_though_turned_against_the_others_is_named(updates: Path) -> None:
    found = json.loads(run("audit", updates, *BASED, "--votes", 5, "--json")[1])
    assert found["clients"][3]["accepted"]
    said = r"client-3 is accepted by 1 of 5 rules, but turned against the others: cosine -0\.5\d"
    assert re.fullmatch(said, found["notes"][0])
    assert "turned against" not in json.dumps(json.loads(run("audit", updates, *BASED, "--json")[1]))


def test_what_columns_mean_is_said_below_the_tables(updates: Path) -> None:
    text = " ".join(run("audit", updates, *BASED, "--calibrate", "--report", "p.html")[1].split())
    assert "norm: length of what a client changed; cosine: of the angle" in text
    assert "none here" not in text
    alone = " ".join(run("audit", updates, "--base", "median-of-clients")[1].split())
    assert "; none here, where changes are from the clients' own median" in alone
    assert "no-attack measures false alarms" in text
    page = Path("p.html").read_text()
    assert "no-attack, measures false alarms" in page
    assert "0 of 5" in page.split("client-0</span>")[1].split("</tr>")[0]
    assert "0 of 5" not in page.split("client-6</span>")[1].split("</tr>")[0]
    assert "SignGuard's is a length over" in run("aggregate", updates, *BASED, "--rule", "sign-guard", "-o", "g.npz")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("updatez", *BASED), "updatez: no such file or folder"),
        (("empty", *BASED), "empty holds no models"),
        (
            ("updates", "--base", "other.safetensors"),
            "no client fits this base: the base has w, which client-0 has not; ",
        ),
        (("updates", "--base", "other.safetensors"), "client-0 has conv.bias, conv.weight, fc.bias and 1 more, which"),
        (("updates", "--base", "larger.safetensors"), "fc.bias has shape (64,) in the base and (128,) in client-0"),
        (("updates", "--base", "median-of-client"), "did you mean 'median-of-clients'?"),
        (("updates", *BASED, "--strict"), "client-5: NaN or Inf in fc.weight (--strict)"),
    ],
)
def test_errors_name_what_is_wrong(updates: Path, arguments: tuple[str, ...], says: str) -> None:
    Path("empty").mkdir()
    write({"w": torch.ones(3)}, Path("other.safetensors"))
    write({**base_model(), "fc.bias": torch.ones(64)}, Path("larger.safetensors"))
    for command in (("audit",), ("aggregate", "--rule", "mean", "-o", "x.pt")):
        status, _, errors = run(*command, *arguments)
        assert status == 2
        assert says in errors
        assert "something else" not in errors


def test_a_strict_error_names_five_and_says_how_many_more(updates: Path) -> None:
    for k in range(4):
        (updates / f"odd-{k}.pt").write_bytes(b"odd")
    errors = run("audit", updates, *BASED, "--strict")[2]
    assert errors.count("client client-") + errors.count("client odd-") == 5
    assert "; and 2 more (--strict)" in errors


def test_an_angle_to_the_median_of_differences_from_the_median_is_a_dash(updates: Path) -> None:
    arguments = ("audit", updates, "--base", "median-of-clients")
    found = json.loads(run(*arguments, "--json", "--report", "p.html")[1])
    assert {c["evidence"]["cosine_to_median"] for c in found["clients"] if "evidence" in c} == {None}
    row = next(line.split() for line in run(*arguments)[1].splitlines() if line.startswith(" client-0 "))
    assert row[-1] == "-"


def test_the_page_says_what_reasons_mean_and_shows_no_noise(tmp_path: Path) -> None:
    base = base_model() | {"still": torch.ones(40)}
    write(base, Path("base.safetensors"))
    for i, change in enumerate(changes(8)):
        model = {name: base[name] + (-1 if i == 3 else 1) * change[name] for name in change}
        # A shift to and fro, of which rounding is left.
        write(model | {"still": base["still"] + 1.2e-7 * (1 + i % 3)}, tmp_path / "updates" / f"client-{i}.safetensors")
    run("audit", "updates", *BASED, "--report", "p.html")
    page = Path("p.html").read_text()
    assert page.count("<li><b>sign-outlier</b>: ") == 1
    assert "<li><b>malformed</b>" not in page
    assert "rounding alone" in page
    assert "client-0, still: norm" in page
    assert not re.search(r"client-\d, still: norm [\d.e-]+, [\d.e-]+ times", page)
    assert re.search(r"client-\d, fc.weight: norm [\d.e-]+, [\d.e-]+ times", page)


def follow_recipe(tmp_path: Path, folder: bytes = b"updates") -> None:
    """What the page prints, on the clients in a folder."""
    page = (ROOT / "docs" / "how-to" / "checkpoints.md").read_text(encoding="utf-8")
    recipe = page.split("exactly those whom the audit accepted:\n\n```sh\n")[1].split("```")[0]
    place = tmp_path / "bin"
    place.mkdir()
    for name, words in {"fedward": "-m fedward", "python": ""}.items():
        (place / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (place / name).chmod(0o755)
    paths = {"PATH": f"{place}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    words = recipe.encode().replace(b"audit updates", b"audit " + folder)
    subprocess.run(["sh", "-c", words], env={**os.environ, **paths}, check=True, capture_output=True)


def check_mean_of_accepted(file: str) -> None:
    accepted = [i for i, reason in enumerate(EXPECTED.values()) if reason == "accepted"]
    mean = torch.stack([changes()[i]["fc.weight"] for i in accepted]).mean(0)
    torch.testing.assert_close(load_file(file)["fc.weight"], base_model()["fc.weight"] + mean, rtol=0, atol=1e-6)


def test_the_recipe_aggregates_exactly_those_who_were_accepted(updates: Path, tmp_path: Path) -> None:
    follow_recipe(tmp_path)
    check_mean_of_accepted("mean.safetensors")


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names of files are text there")
def test_also_whatever_their_files_are_called(updates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no UTF-8, a line break, a dash at the beginning, in the folder that the command is given in."""
    names = {0: b"\xff\xfe", 1: b"-x", 2: b"a\nb", 4: b"--help"}
    for number, name in names.items():
        os.rename(updates / f"client-{number}.safetensors", os.fsencode(updates) + b"/" + name + b".safetensors")
    Path("base.safetensors").rename(tmp_path / "updates/base.safetensors")
    monkeypatch.chdir(updates)
    follow_recipe(tmp_path, b".")
    check_mean_of_accepted("mean.safetensors")


def test_the_page_describes_every_field_of_json(updates: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "checkpoints.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`(\w+)`", page.split("## For programs")[1].split("## Adapters")[0]))
    audit = json.loads(run("audit", updates, *BASED, "--calibrate", "--json")[1])
    told = ("aggregate", updates, *BASED, "--rule", "median", "-o", "g.npz", "--json")
    client = next(client for client in audit["clients"] if "evidence" in client)
    found = {
        *audit,
        *client,
        *client["evidence"],
        *audit["panel"][0],
        *audit["calibration"],
        *json.loads(run(*told)[1]),
    }
    assert found <= described, found - described


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            "multi-krum:f=4",
            "multi-krum:f=4 needs n >= 2f + 3 = 11 clients (n >= f + 3 = 7 with bound='definition'), got 9 "
            "(f is at most 3)",
        ),
        (
            "bucketing:s=2 >> trimmed-mean:f=3",
            "trimmed-mean:f=3 needs n >= 2f + 1 = 7 clients, got 5 (f is at most 2) (9 clients after bucketing:s=2)",
        ),
    ],
)
def test_too_few_for_a_rule_are_told_in_one_sentence_with_all_that_cannot_be_used(
    rule: str, said: str, updates: Path
) -> None:
    """The rule as it is typed, and every client of whom nothing can be used, with why."""
    source = ModelSource(clients=[updates], base="base.safetensors")
    with pytest.raises(fw.BoundError) as caught:
        run_aggregate(source, fw.parse(rule, "rule"))
    sentence, *unusable = str(caught.value).split("; ")
    assert sentence == said
    assert unusable[0].startswith("3 of 12 cannot be used: client client-6: ")
    assert unusable[1].startswith("client client-8: ")
    assert unusable[2] == "client client-5: NaN or Inf in fc.weight"
    assert len(unusable) == 3


def test_too_few_usable_ones_without_a_fault_are_told_as_they_are(updates: Path) -> None:
    clients = [updates / f"client-{k}.safetensors" for k in range(3)]
    with pytest.raises(fw.BoundError) as caught:
        run_aggregate(ModelSource(clients=clients, base="base.safetensors"), fw.parse("trimmed-mean:f=2", "rule"))
    assert str(caught.value) == "trimmed-mean:f=2 needs n >= 2f + 1 = 5 clients, got 3 (f is at most 1)"
