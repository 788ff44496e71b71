"""A command given in a stranger's folder, or about a stranger's file, runs none of the code in there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import app as cli
from fedward.cli.imports import is_own, own_modules
from fedward.experiments.load import load_spec
from fedward.experiments.spec import SpecError, make_spec
from fedward.redteam.arsenal import family, label
from fedward.redteam.basis import Basis
from fedward.redteam.findings import FindingsFile, RedTeamError, load_examination
from fedward.registry.notation import parse
from fedward.registry.strangers import import_paths
from fedward.sweeps import read_sweep
from tests.cli.test_cli import QUICK, failure

TRAP = "from pathlib import Path\nPath(__file__).with_name('sprung').touch()\n"
RULE = """
from dataclasses import dataclass
import fedward as fw

@dataclass(frozen=True, kw_only=True)
class {name}(fw.rules.Mean):
    "The mean."

def net():
    import torch
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
"""


def trap(name: str) -> Path:
    """A module in the working folder that leaves a file behind when it is run; the file."""
    Path(f"{name}.py").write_text(TRAP + RULE.format(name="Mine"))
    return Path("sprung").absolute()


NAMING = {
    "rule": 'rule = "{path}"',
    "rule with a colon": 'rule = "{module}:Mine"',
    "table": '[rule]\nname = "{path}"',
    "mixed": 'rule = "clip-norm:radius=median >> {path}"',
    "inside another": 'rule = "class-wise:base=({path})"',
    "attack": 'attack = "byz-mean:inner={path}"',
    "model": 'model = "{module}.net"',
    "model in a model": "model = \"lora:base='{module}.net'\"",
    "data": 'data = "{module}:net"',
    "algorithm": 'algorithm = "siren-client:inner={path}"',
    "server": 'server = "{path}"',
    "partition": 'partition = "{path}"',
    "of the library": 'model = "os.system:command=true"',
}


@pytest.mark.parametrize(("command", "how"), [*(("run", how) for how in NAMING), ("redteam --rule mean", "model")])
def test_import_paths_in_a_configuration_are_not_followed(command: str, how: str) -> None:
    module = f"trap_{how.replace(' ', '_')}"
    sprung = trap(module)
    text = NAMING[how].format(path=f"{module}.Mine", module=module)
    Path("run.toml").write_text(f"rounds = 1\n{text}\n")
    said = failure(*command.split(), "--config", "run.toml")
    assert not sprung.exists()
    assert module not in sys.modules
    assert "stands in a file" in " ".join(said.split())
    assert "--trust-imports" in said


def test_what_was_typed_is_followed_and_what_is_trusted() -> None:
    trap("own_typed")
    Path("run.toml").write_text('data = "fashion-mnist-subset"\nrule = "own_typed:Mine"\n')
    options = ["run", "--config", "run.toml", *QUICK, "--rounds", "1", "--attack", "no-attack"]
    path = list(sys.path)
    refused = CliRunner().invoke(cli.app, [*options, "--out", "refused"])
    assert refused.exit_code == 2
    for number, more in enumerate((["--rule", "own_typed.Mine"], ["--trust-imports"])):
        result = CliRunner().invoke(cli.app, [*options, *more, "--out", str(number)])
        assert result.exit_code == 0, result.output
        assert json.loads(Path(str(number), "run.json").read_text())["config"]["rule"] == "own_typed.Mine"
    assert sys.path == path


def test_no_command_but_those_that_run_things_looks_into_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for a path that stands among what was typed."""
    sprung = trap("trap_listed")
    for command in (["report", "trap_listed.Mine"], ["list", "rules"], ["data", "list"]):
        seen: list[bool] = []
        monkeypatch.setattr(
            "fedward.cli.options.interrupts_raise", lambda seen=seen: seen.append(os.getcwd() in sys.path)
        )
        CliRunner().invoke(cli.app, command)
        assert seen == [False]
    assert not sprung.exists()


def test_the_folder_is_not_on_the_path_of_the_process_or_of_its_workers() -> None:
    """`random` and `pickle` of the folder would be those of Python itself, wherever a process puts the folder first."""
    Path("sitecustom.py").write_text("")
    code = (
        "import multiprocessing, sys, fedward.cli.terminal as t\n"
        "def where(): print(sys.flags.safe_path, sys.path)\n"
        "if __name__ == '__main__':\n"
        " sys.path.insert(0, '')\n"
        " t.keep_folder_out(); where(); sys.stdout.flush()\n"
        " p = multiprocessing.get_context('spawn').Process(target=where); p.start(); p.join()\n"
    )
    Path("elsewhere").mkdir()
    Path("elsewhere/script.py").write_text(code)
    said = subprocess.run(
        [sys.executable, "elsewhere/script.py"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(said) == 2
    assert said[1].startswith("True")
    for line in said:
        assert f"'{os.getcwd()}'" not in line
        assert "['', " not in line
    for name in ("decimal", "pickle", "plotly", "pandas", "typer"):
        Path(f"{name}.py").write_text(TRAP)
    subprocess.run([sys.executable, "-m", "fedward", "--version"], capture_output=True, check=True)
    assert not Path("sprung").exists()


def test_numba_takes_no_cache_from_the_folder() -> None:
    """A file of numba's in the folder may name another one, of pickles."""
    Path(".numba_config.yaml").write_text("cache_dir: here\ncache_locator_classes: trap_numba.Locator\n")
    code = (
        "import fedward.cli.terminal as t; t.keep_folder_out()\n"
        "from numba.core import config; print(repr(config.CACHE_DIR), repr(config.CACHE_LOCATOR_CLASSES))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["''", "''"]


# --- findings -------------------------------------------------------------------------------------------------


def test_attacks_in_findings_are_names_and_nothing_else() -> None:
    sprung = trap("trap_found")
    line = {"attack": "trap_found.Mine", "kappa": 1e9, "progress": 0, "byzantine_accepted": 1, "honest_accepted": 1}
    file = Path("findings.jsonl")
    settings = {**make_spec({}).resolved(), "attacks": ["alie"]}
    del settings["attack"]
    FindingsFile(file, settings, {}, Basis())
    with file.open("a") as opened:
        opened.write(json.dumps(line) + "\n")
    with pytest.raises(RedTeamError, match="not played here; delete its line"):
        FindingsFile(file, settings, {}, Basis())
    ((name, _),) = load_examination(file).worst()
    assert name == "trap_found.Mine"
    assert label("byz-mean:inner=trap_found.Mine") == "byz-mean:inner=trap_found.Mine"
    assert family("maximise:attack=trap_found.Mine,over=scale") == "adaptive trap_found.Mine"
    assert family("maximise:attack=(trap_found.Mine:a=1),over=scale") == "adaptive trap_found.Mine"
    assert family("no such text: (") == "no such text"
    assert not sprung.exists()


# --- the parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("krum:f=1", set()),
        ("alie:z=1.5", set()),
        ("my.rules.Mine", {"my.rules.Mine"}),
        ("my:Mine:f=1", {"my.Mine"}),
        ("my.rules:Mine", {"my.rules.Mine", "my.rules"}),
        ("clip-norm:radius=median >> my.rules:Mine:f=10", {"my.rules.Mine", "my.rules"}),
        (["alie", {"name": "a.b"}], {"a.b"}),
        (7, set()),
    ],
)
def test_which_import_paths_were_typed(text: object, found: set[str]) -> None:
    assert import_paths(text) == found


def test_a_stranger_cannot_make_arguments_look_like_what_was_typed() -> None:
    """``alie:z=1`` names no module ``alie``."""
    sprung = trap("alie")
    Path("run.toml").write_text('rule = "alie.Mine"\n')
    assert "stands in" in failure("run", "--config", "run.toml", "--attack", "alie:z=1")
    assert not sprung.exists()


def test_python_reads_a_file_with_trust_or_without() -> None:
    trap("own_read")
    Path("run.toml").write_text('rule = "own_read.Mine"\n')
    with own_modules(["own_read.Mine"]):
        with pytest.raises(SpecError, match=r"own_read.Mine' stands in a file"):
            load_spec(Path("run.toml"))
        assert load_spec(Path("run.toml"), trust_imports=True).rule == "own_read.Mine"
        assert load_spec(Path("run.toml"), rule="own_read.Mine").rule == "own_read.Mine"
    with own_modules([]), pytest.raises(ValueError, match="cannot import"):
        parse("trap_nowhere.Mine", "rule")


@pytest.mark.parametrize("text", ['rule = ["mean", "trap_swept.Mine"]', '[tune]\nserver = ["trap_swept.Mine"]'])
def test_sweeps_name_what_is_registered(text: str) -> None:
    sprung = trap("trap_swept")
    file = Path("sweep.toml")
    file.write_text(f'data = "fashion-mnist-subset"\nrounds = 1\nseed = [0, 1]\n{text}\n')
    with own_modules(["trap_swept.Mine"]), pytest.raises(SpecError, match="stands in a file"):
        read_sweep(file)
    assert not sprung.exists()
    if "tune" in text:
        assert read_sweep(file, trust_imports=True).cells


def test_what_is_ones_own_project(tmp_path: Path) -> None:
    (tmp_path / "project" / "src").mkdir(parents=True)
    (tmp_path / "project" / "configs").mkdir()
    (tmp_path / "project" / "pyproject.toml").touch()
    file = tmp_path / "project" / "configs" / "run.toml"
    assert is_own(file, [str(tmp_path / "project" / "src")])
    assert is_own(file, [str(tmp_path / "project")])
    assert not is_own(file, [])
    assert not is_own(file, ["", str(tmp_path / "project" / "configs" / "more")])
    assert not is_own(file, [str(tmp_path / "project" / "src" / "site-packages")])
    (tmp_path / "link.toml").symlink_to(file)
    (tmp_path / "project" / "in.toml").symlink_to(tmp_path / "out.toml")
    assert is_own(tmp_path / "link.toml", [str(tmp_path / "project")])
    assert not is_own(tmp_path / "project" / "in.toml", [str(tmp_path / "project")])
    (tmp_path / "project" / "pyproject.toml").unlink()
    assert not is_own(file, [str(tmp_path / "project" / "src")])
