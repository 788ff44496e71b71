"""What GitHub runs: targets of the Makefile, actions of a version, least permissions, nothing of anybody's machine."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOSTS = {"download.pytorch.org", "github.com", "raw.githubusercontent.com", "fedward.github.io"}
"""What workflows, hooks and lists of versions may name."""
IMAGES = re.compile(r"(ubuntu|macos|windows)-\d+(\.\d+)?(-arm)?")
PINNED = re.compile(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
"""By the commit, which nobody can move, with the version for people and for Dependabot."""

Step = Mapping[str, Any]


def read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def steps(workflow: Mapping[str, Any]) -> Iterator[tuple[str, Step]]:
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            yield name, step


def targets(makefile: str) -> set[str]:
    """The names that stand before a colon."""
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.MULTILINE))


def asked_for(command: str) -> set[str]:
    """The targets that a step's commands give to make."""
    found: set[str] = set()
    for words in re.findall(r"(?:^|&&|;)\s*make\s+([^\n;&]*)", command, re.MULTILINE):
        without_values = re.sub(r"\"[^\"]*\"|'[^']*'", "", words)
        found.update(word for word in without_values.split() if "=" not in word and not word.startswith("-"))
    return found


@pytest.fixture(params=WORKFLOWS, ids=lambda file: file.name)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_there_are_the_three() -> None:
    assert {file.stem for file in WORKFLOWS} == {"ci", "nightly", "release"}


def test_every_target_is_one_of_the_makefile(workflow: dict[str, Any]) -> None:
    known = targets((ROOT / "Makefile").read_text(encoding="utf-8"))
    asked = {target for _, step in steps(workflow) for target in asked_for(step.get("run", ""))}
    assert asked, "no step runs make: the commands are read wrongly, or stand twice"
    assert asked <= known, f"no such targets: {sorted(asked - known)}"


def test_how_commands_are_read() -> None:
    assert asked_for('cd x && make lint types\nmake check PYTEST="--hypothesis-profile=explore" -s') == {
        "lint",
        "types",
        "check",
    }
    assert targets("A := b\nlint: install\n\tx\nflower-versions:\n.PHONY: none\n") == {"lint", "flower-versions"}


def test_every_phony_target_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony.split()) <= targets(makefile)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_of_a_commit_with_its_version(file: Path) -> None:
    used = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line)] == []


def test_images_are_of_a_version(workflow: dict[str, Any]) -> None:
    for job in workflow["jobs"].values():
        images = [job["runs-on"]]
        if "matrix" in job["runs-on"]:
            matrix = job["strategy"]["matrix"]
            images = [*matrix["os"], *(entry["os"] for entry in matrix["include"])]
        assert all(IMAGES.fullmatch(image) for image in images), images


def test_permissions_are_the_least(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] in ({}, {"contents": "read"})
    may_write = {
        (name, right)
        for name, job in workflow["jobs"].items()
        for right, how in job.get("permissions", {}).items()
        if how == "write"
    }
    assert may_write <= {("publish", "id-token"), ("pages", "id-token"), ("pages", "pages")}
    for _, step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False
        # What somebody else wrote (a title, a branch) is never part of a command.
        assert "${{" not in step.get("run", "")


def test_jobs_end(workflow: dict[str, Any]) -> None:
    assert all(job["timeout-minutes"] <= 240 for job in workflow["jobs"].values())


def test_publishing_needs_no_secret_and_no_cache() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "password" not in text
    assert "cache: " not in text


def test_pythons_of_the_matrix_are_those_that_the_package_names() -> None:
    tried = set(read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert named == tried
    assert f">={min(named, key=lambda one: int(one[2:]))}" == project["requires-python"]


def test_hooks_have_the_versions_of_the_list() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    hooks = read(ROOT / ".pre-commit-config.yaml")["repos"]
    (ruff,) = (hook["rev"] for hook in hooks if hook["repo"].endswith("/ruff-pre-commit"))
    assert f"\nruff=={ruff.removeprefix('v')}\n" in pins
    assert all(re.fullmatch(r"v?\d+\.\d+\.\d+", hook["rev"]) for hook in hooks if hook["repo"] != "local")


@pytest.mark.parametrize(
    "name",
    [".github", ".pre-commit-config.yaml", "Makefile", "pyproject.toml", "constraints.txt", "constraints-oldest.txt"],
)
def test_no_host_but_public_ones(name: str) -> None:
    place = ROOT / name
    files = [file for file in place.rglob("*") if file.is_file()] if place.is_dir() else [place]
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://([^/\s\"']+)", text)) <= HOSTS, file
        assert "file://" not in text, file


def test_forms_are_yaml_with_all_that_they_need() -> None:
    forms = [read(file) for file in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if file.stem != "config"]
    assert len(forms) == 2
    for form in forms:
        assert {"name", "description", "body"} <= set(form)
        names = [part["id"] for part in form["body"]]
        assert len(names) == len(set(names))
