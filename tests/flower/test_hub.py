"""What is to be uploaded: both apps build, with every file that they have; the baseline makes its table."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
APPS = [ROOT / "examples" / name for name in ("flower-signguard", "flower-baseline-signguard")]
BASELINE = APPS[1]


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_the_bundle_has_all_that_the_app_has(app: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "flwr"), "build", "--app", str(app)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "missing" not in done.stdout
    (bundle,) = tmp_path.glob("*.fab")
    with zipfile.ZipFile(bundle) as file:
        packed = set(file.namelist()) - {".info/CONTENT"}
    has = {p.relative_to(app).as_posix() for p in app.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert packed == has
    told = tomllib.loads((app / "pyproject.toml").read_text())
    assert told["tool"]["flwr"]["app"]["fab-format-version"] == 1
    assert (app / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_what_to_do_until_fedward_is_published_is_said() -> None:
    pages = [*(app / "README.md" for app in APPS), ROOT / "docs" / "how-to" / "flower.md"]
    for text in (page.read_text() for page in pages):
        assert re.search(r"[Ee]xit code 608", text)
        assert "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1" in text


def test_links_of_the_readmes_lead_somewhere() -> None:
    for app in APPS:
        for link in re.findall(r"\]\((?!http|#)([^)]+)\)", (app / "README.md").read_text()):
            assert (app / link).exists(), link


def test_the_readme_of_the_baseline_begins_as_flowers_do() -> None:
    text = (BASELINE / "README.md").read_text()
    front = dict(line.split(": ", 1) for line in text.split("---")[1].strip().splitlines())
    assert list(front) == ["title", "url", "labels", "dataset"]
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert headings == [
        "About this baseline",
        "Experimental Setup",
        "Environment Setup",
        "Running the Experiments",
        "Expected Results",
    ]


def test_a_small_table_of_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BASELINE)
    table = importlib.import_module("signguard.table")
    monkeypatch.setitem(table.ATTACKS, "Sign-flip", "sign-flip:scale=10")
    small: dict[str, Any] = {"rounds": 8, "clients": 10, "byzantine": 2, "model": "linear", "evaluate-every": 4}
    found = table.table(["Mean", "SignGuard"], ["Sign-flip"], **small)
    assert found["SignGuard", "Sign-flip"] > 55
    assert found["Mean", "Sign-flip"] < 30
    assert table.markdown(found).count("\n") == 3
    found = table.table(["Mean"], ["No attack", "Label-flip"], **{**small, "byzantine": 5})
    assert found["Mean", "Label-flip"] < found["Mean", "No attack"] - 5


def test_every_rule_and_attack_of_the_baseline_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import fedward

    monkeypatch.syspath_prepend(BASELINE)
    table = importlib.import_module("signguard.table")
    for text in table.RULES.values():
        fedward.parse(text.format(f=10), "rule").check(50)
    for text in table.ATTACKS.values():
        fedward.parse(text, "attack")
