"""Every format of checkpoints gives the same rows; clients are found where they are, under names of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from fedward.audit import AuditError, ModelSource, checkpoints, find_clients, gather, run_aggregate, run_audit
from fedward.audit.clients import Place
from fedward.audit.formats import read_contents
from fedward.cli.app import app
from fedward.registry.notation import parse
from fedward.stack import Files, materialise

from .conftest import base_model, changes


def client(k: int) -> dict[str, Tensor]:
    base = base_model()
    return {name: base[name] + change for name, change in changes()[k].items()}


def shards(folder: Path, model: dict[str, Tensor]) -> Path:
    folder.mkdir()
    parts = {"conv": "model-1.safetensors", "fc": "model-2.safetensors"}
    for prefix, name in parts.items():
        save_file({k: v for k, v in model.items() if k.startswith(prefix)}, folder / name)
    where = {name: parts[name.partition(".")[0]] for name in model}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def archive(path: Path, model: dict[str, Tensor], save: Callable[..., None]) -> Path:
    save(path, **{name: tensor.numpy() for name, tensor in model.items()})
    return path


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def safetensors(path: Path, model: dict[str, Tensor]) -> Path:
    save_file(model, path)
    return path


def one_in_a_folder(folder: Path, model: dict[str, Tensor]) -> Path:
    folder.mkdir()
    save_file(model, folder / "whatever.safetensors")
    return folder


FORMATS: dict[str, Callable[[Path, dict[str, Tensor]], Path]] = {
    "safetensors": lambda place, m: safetensors(place / "x.safetensors", m),
    "pt": lambda place, m: saved(place / "x.pt", m),
    "pth, nested": lambda place, m: saved(place / "x.pth", {"epoch": 3, "state_dict": m, "optimizer": {"lr": 0.1}}),
    "bin, twice nested": lambda place, m: saved(place / "x.bin", {"trainer": {"model": m, "step": torch.tensor(3)}}),
    "pt with an optimiser": lambda place, m: saved(
        place / "x.pt", {"model": m, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "buffers": dict(m)}}
    ),
    "npz": lambda place, m: archive(place / "x.npz", m, np.savez),
    "npz, packed": lambda place, m: archive(place / "x.npz", m, np.savez_compressed),
    "shards": lambda place, m: shards(place / "x", m),
    "an index": lambda place, m: shards(place / "x", m) / "model.safetensors.index.json",
    "a folder": lambda place, m: one_in_a_folder(place / "x", m),
    "pt whose tensors are views": lambda place, m: saved(
        place / "x.pt", {k: torch.stack([v, v], -1)[..., 0] for k, v in m.items()}
    ),
    "npz by column": lambda place, m: archive(
        place / "x.npz", {k: torch.from_numpy(np.asfortranarray(v.numpy())) for k, v in m.items()}, np.savez
    ),
}


TYPES = (torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("block", [None, 1000])
def test_a_row_is_the_same_in_every_format(form: str, block: int | None, tmp_path: Path) -> None:
    model = client(0)
    path = FORMATS[form](tmp_path, model)
    stack = gather([path], raw=True).stack
    assert stack.layout is not None
    if block is not None:
        stack.block_columns = block
    row = stack.layout.unflatten(materialise(stack)[0])
    assert {name: tensor.shape for name, tensor in row.items()} == {n: t.shape for n, t in model.items()}
    for name, tensor in model.items():
        torch.testing.assert_close(row[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_types_of_few_bits_are_read_and_written(dtype: torch.dtype, suffix: str, tmp_path: Path) -> None:
    base = {name: tensor.to(dtype) for name, tensor in base_model().items()}
    models = []
    for k in range(3):
        models.append({name: tensor.to(dtype) for name, tensor in client(k).items()})
        if suffix == ".pt":
            torch.save(models[-1], tmp_path / f"c{k}.pt")
        else:
            save_file(models[-1], tmp_path / f"c{k}.safetensors")
    save_file(base, tmp_path / "base.safetensors")
    source = ModelSource(clients=[tmp_path / f"c{k}{suffix}" for k in range(3)], base=tmp_path / "base.safetensors")
    done = run_aggregate(source, parse("mean", "rule"))
    done.save(tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    for name, start in base.items():
        assert found[name].dtype == dtype
        exact = start.double() + torch.stack([m[name].double() - start.double() for m in models]).mean(0)
        # Rounded once, from differences that float32 holds.
        step = torch.finfo(dtype).eps if dtype != torch.float64 else 1e-6
        torch.testing.assert_close(found[name].double(), exact, rtol=float(step), atol=2e-3)


def test_integers_and_running_statistics_do_not_vote_and_come_along(tmp_path: Path) -> None:
    base = {**base_model(), "bn.running_mean": torch.zeros(4), "bn.num_batches_tracked": torch.tensor(1)}
    save_file(base, tmp_path / "base.safetensors")
    for k in range(3):
        more = {"bn.running_mean": torch.full((4,), float(k)), "bn.num_batches_tracked": torch.tensor(10 * k)}
        save_file({**client(k), **more}, tmp_path / f"c{k}.safetensors")
    source = ModelSource(clients=[str(tmp_path / "c*.safetensors")], base=tmp_path / "base.safetensors")
    state = run_aggregate(source, parse("mean", "rule")).result.state_dict()
    assert state["bn.running_mean"].tolist() == [1.0] * 4
    assert int(state["bn.num_batches_tracked"]) == 10


def test_the_key_says_which_model_of_a_file_is_meant(tmp_path: Path) -> None:
    torch.save({"ema": {"net": client(0)}, "live": {"net": client(1)}}, tmp_path / "x.pt")
    contents = read_contents(Place(name="x", path=tmp_path / "x.pt"), "live.net")
    torch.testing.assert_close(contents.tensors["fc.weight"], client(1)["fc.weight"])


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(*arguments: object) -> list[str]:
    return [place.name for place in find_clients([str(argument) for argument in arguments]).places]


def test_clients_are_found_and_named(tmp_path: Path) -> None:
    touch(*(tmp_path / "flat" / f"client-{k}.pt" for k in (1, 2, 10)), tmp_path / "flat" / "notes.txt")
    assert names(tmp_path / "flat") == ["client-1", "client-2", "client-10"]
    assert [path.name for path in find_clients([tmp_path / "flat"]).ignored] == ["notes.txt"]
    touch(*(tmp_path / "deep" / f"site {k}" / "model.safetensors" for k in "ba"))
    assert (
        names(tmp_path / "deep")
        == names(tmp_path / "deep" / "site a", tmp_path / "deep" / "site b")
        == ["site a", "site b"]
    )
    assert names(f"{tmp_path}/deep/*/model.safetensors") == ["site a", "site b"]
    touch(tmp_path / "same" / "a.pt", tmp_path / "same" / "a.safetensors")
    assert names(tmp_path / "same") == ["a.pt", "a.safetensors"]
    assert names(tmp_path / "flat" / "client-1.pt", tmp_path / "flat") == ["client-1", "client-2", "client-10"]
    assert names(tmp_path / "absent.pt") == ["absent"]
    touch(tmp_path / "odd[1].pt")
    assert names(tmp_path / "odd[1].pt") == ["odd[1]"]
    with pytest.raises(AuditError, match="nothing matches"):
        names(tmp_path / "*.gguf")
    base = tmp_path / "flat" / "client-2.pt"
    assert [p.name for p in find_clients([tmp_path / "flat"], besides=base).places] == ["client-1", "client-10"]


@pytest.mark.parametrize("how", ["written", "shorter", "replaced"])
@pytest.mark.parametrize("form", ["safetensors", "pt", "shards"])
def test_a_file_that_changes_while_it_is_read_is_a_verdict(
    how: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(base_model(), tmp_path / "base.safetensors")
    (tmp_path / "c").mkdir()
    for k in range(4):
        save_file(client(k), tmp_path / "c" / f"good-{k}.safetensors")
    odd = FORMATS[form](tmp_path / "c", client(4))
    file = odd / "model-2.safetensors" if odd.is_dir() else odd
    read = checkpoints.Checkpoints.read
    done: list[bool] = []

    def change(self: object, *arguments: object) -> Tensor:
        if not done:
            done.append(True)
            if how == "written":
                with file.open("r+b") as handle:
                    handle.seek(-8, os.SEEK_END)
                    handle.write(b"\x01" * 8)
                os.utime(file, ns=(1, 1))
            elif how == "shorter":
                os.truncate(file, 900)
            else:
                (tmp_path / "new").write_bytes(file.read_bytes())
                os.replace(tmp_path / "new", file)
                os.utime(file, ns=(1, 1))
        return read(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoints.Checkpoints, "read", change)
    found = run_audit(ModelSource(clients=[tmp_path / "c"], base=tmp_path / "base.safetensors"))
    verdicts = dict(zip(found.names, found.reasons, strict=True))
    assert verdicts.pop("x") == "malformed"
    assert "changed while it was read" in found.details["x"]
    assert set(verdicts.values()) == {"accepted"}


def test_results_of_the_library_are_saved_and_shown(tmp_path: Path) -> None:
    import fedward as fw

    for k in range(4):
        save_file(client(k), tmp_path / f"{k}.safetensors")
    save_file(base_model(), tmp_path / "base.safetensors")
    stack = Files([tmp_path / f"{k}.safetensors" for k in range(4)], base=tmp_path / "base.safetensors")
    result = fw.Aggregator(fw.rules.SignGuard())(stack)
    for suffix in (".safetensors", ".pt", ".npz"):
        path = result.save(tmp_path / f"out{suffix}")
        model = read_contents(Place(name="out", path=path))
        for name, tensor in result.state_dict().items():
            torch.testing.assert_close(model.values(model.tensors[name]), tensor)
    told = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert told["ids"] == ["0", "1", "2", "3"]
    assert told["scores"]["norm"] == pytest.approx(result.scores["norm"].tolist())
    page = result.report(tmp_path / "page.html").read_text()
    assert "Verdicts" in page
    with pytest.raises(ValueError, match=r"name a file with one of \.safetensors"):
        result.save(tmp_path / "out.gguf")
    row = fw.Aggregator(fw.rules.Mean())(np.ones((3, 4), dtype=np.float32))
    assert load_file(row.save(tmp_path / "row.safetensors"))["output"].tolist() == [1.0] * 4
    assert not list(tmp_path.glob(".*part"))


def test_base_in_the_folder_of_clients_is_none_of_them(updates: Path) -> None:
    os.rename("base.safetensors", updates / "base.safetensors")
    done = CliRunner().invoke(app, ["audit", str(updates), "--base", str(updates / "base.safetensors"), "--json"])
    assert len(json.loads(done.stdout)["clients"]) == 12


@pytest.mark.parametrize(
    ("rule", "when"),
    [
        *(("median", when) for when in (1, 2, 3)),
        *((rule, when) for rule in ("sign-guard", "multi-krum:f=1") for when in (1, 2)),
    ],
)
def test_an_aggregate_leaves_out_who_changes_in_any_pass(
    rule: str, when: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(base_model(), tmp_path / "base.safetensors")
    (tmp_path / "c").mkdir()
    for k in range(6):
        save_file(client(k), tmp_path / "c" / f"{k}.safetensors")
    read = checkpoints.Checkpoints.read
    reads: list[int] = []

    def change(self: object, *arguments: object) -> Tensor:
        reads.append(1)
        if len(reads) == when:
            os.truncate(tmp_path / "c" / "5.safetensors", 2000)
        return read(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoints.Checkpoints, "read", change)
    source = ModelSource(clients=[tmp_path / "c"], base=tmp_path / "base.safetensors")
    found = run_aggregate(source, parse(rule, "rule")).result
    verdicts = dict(zip(found.ids, map(str, found.reasons), strict=True))
    assert len(reads) > when  # the last of them after the change
    assert verdicts["5"] == "malformed"
    monkeypatch.undo()
    others = ModelSource(clients=[str(tmp_path / "c" / "[0-4].safetensors")], base=tmp_path / "base.safetensors")
    expected = run_aggregate(others, parse(rule, "rule")).result
    torch.testing.assert_close(found.output, expected.output)
