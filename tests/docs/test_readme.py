"""What the README shows is what comes of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fedward as fw

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_snippets_pasted_one_after_the_other_print_what_their_comments_say(tmp_path: Path) -> None:
    snippets = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    (tmp_path / "pasted.py").write_text(snippets, encoding="utf-8")
    done = subprocess.run([sys.executable, "pasted.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [" ".join(line.split()) for line in done.stdout.splitlines()]
    promised = re.findall(r"print\(result\.table\(\)\)  # (.*)", snippets) + re.findall(r"# (Mean: .*)", snippets)[
        0
    ].split(", ")
    assert len(promised) == 4
    for line in promised:
        assert " ".join(line.split()) in printed, (line, done.stdout)
    kept = [float(line.split()[3]) for line in printed if re.match(r"\d+ \S+ \d", line)]
    assert len(kept) == 2, done.stdout  # of rounds 10 and 20


def test_it_counts_what_there_is() -> None:
    kinds = [entry.kind for entry in fw.catalogue(packaged=True)]
    assert f"{kinds.count('rule')} rules, {kinds.count('attack')} attacks" in README


def test_its_picture_is_made_of_the_runs() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        import draw_answer
    runs = json.loads(draw_answer.RUNS.read_text(encoding="utf-8"))
    assert draw_answer.PICTURE.read_text(encoding="utf-8") == draw_answer.picture(runs), "python scripts/draw_answer.py"


def test_every_link_leads_to_a_file() -> None:
    for link in re.findall(r"\]\((?!http|#)([^)#]+)", README):
        assert (ROOT / link).exists(), link
