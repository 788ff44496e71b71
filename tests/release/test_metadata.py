"""The version stands in one place and what repeats it agrees; what is cited is complete; lists of pins are whole."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fedward import failures

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = PROJECT["project"]["version"]
GROUPS = ("test", "lint", "docs", "build")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_changelog_and_the_citation_say_the_version_and_its_day() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", f"{VERSION} ({CITATION['date-released']})"]
    assert CITATION["version"] == VERSION


def there_is(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        return False


def test_what_has_moved_is_where_the_changelog_says() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    moved = re.findall(r"^ +\| `(fedward\.[\w.]+)` \| `(fedward\.[\w.]+)` \|$", text, re.MULTILINE)
    assert len(moved) >= 10
    for before, now in moved:
        assert there_is(now), now
        assert not there_is(before), before


def test_the_four_papers_are_cited_as_the_report_cites_them() -> None:
    cited = {entry["title"].lower(): entry for entry in CITATION["references"]}
    papers = tomllib.loads((ROOT / "src/fedward/report/papers.toml").read_text(encoding="utf-8"))["paper"]
    known = {paper["title"].lower(): paper for paper in papers}
    assert len(cited) == 4
    for title, entry in cited.items():
        if title == "desgd":  # known by its name alone
            continue
        assert title in known, title
        arxiv = [identifier["value"] for identifier in entry.get("identifiers", ())]
        assert arxiv == ([f"arXiv:{known[title]['arxiv']}"] if "arxiv" in known[title] else [])


def test_addresses_are_the_same_everywhere() -> None:
    urls = PROJECT["project"]["urls"]
    assert CITATION["repository-code"] == urls["Source"]
    assert CITATION["url"] == urls["Documentation"]
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"repo_url: {urls['Source']}\n" in site
    assert f"site_url: {urls['Documentation']}/\n" in site
    (form,) = (ROOT / ".github" / "ISSUE_TEMPLATE").glob("config.yml")
    for link in yaml.safe_load(form.read_text(encoding="utf-8"))["contact_links"]:
        assert link["url"].startswith((urls["Source"], urls["Documentation"]))


def extras_of(environment: str) -> set[str]:
    """The extras that the Makefile installs into one."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\t\$\({environment}\)/pip install .*--editable '\.\[(.*)\]'", makefile, re.MULTILINE)
    return {"fast", *line.split(",")}


def requirements(environment: str, *groups: str) -> list[Requirement]:
    """Of the package, of those of its extras that an environment has, and of groups."""
    named = list(PROJECT["project"]["dependencies"])
    for extra in sorted(extras_of(environment)):
        named += PROJECT["project"]["optional-dependencies"][extra]
    for group in groups:
        named += [entry for entry in PROJECT["dependency-groups"][group] if isinstance(entry, str)]
    return [requirement for requirement in map(Requirement, named) if requirement.name != "fedward"]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    split = (line.partition(";")[0].strip().partition("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, _, version in split}


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-oldest.txt"])
def test_lists_of_pins_hold_what_is_asked_for(name: str) -> None:
    pinned = pins(name)
    asked = requirements("OLDEST", "test") if "oldest" in name else requirements("BIN", *GROUPS)
    for requirement in asked:
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} and {version}"


def test_the_oldest_are_the_lower_bounds() -> None:
    pinned = pins("constraints-oldest.txt")
    for requirement in requirements("OLDEST"):
        (bound,) = requirement.specifier
        assert bound.operator == ">="
        version = pinned[canonicalize_name(requirement.name)]
        # `>=2.4` is tried with 2.4.0, or the first 2.4 that was not withdrawn.
        assert version.split(".")[: len(bound.version.split("."))] == bound.version.split("."), (
            f"{requirement}: {version}"
        )


def test_requirements_have_no_upper_ends() -> None:
    for requirement in requirements("BIN", *GROUPS):
        assert {bound.operator for bound in requirement.specifier} == {">="}, requirement


def test_errors_name_the_packages_of_extras() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    asked = re.compile(r"(?:\binstall|_install)\([\"']([\w-]+)[\"']\)")
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py")]
    named = {extra for text in sources for extra in asked.findall(text)}
    assert {"cli", "data", "figures", "flower", "nvflare", "ray", "tensorboard", "wandb"} <= named
    assert named < failures._PACKAGES.keys() < extras.keys()
    for extra, packages in failures._PACKAGES.items():
        every = [Requirement(one) for one in extras[extra]]
        if extra == "cli":
            every = [Requirement(one) for one in extras["fast"]] + every[1:]
        whole = {str(one).replace(str(one.specifier), "") for one in every}
        assert set(shlex.split(packages)) == whole
        assert failures.install(extra) == f"pip install {packages} (in a clone: pip install '.[{extra}]')"


def test_nothing_says_to_install_fedward_from_an_index_that_has_none() -> None:
    for folder in ("src", "docs", "examples"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".md", ".ipynb", ".toml"):
                assert not re.search(r"pip install ['\"]?fedward", file.read_text(encoding="utf-8")), file
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "pyproject.toml"):
        assert not re.search(r"pip install ['\"]?fedward", (ROOT / name).read_text(encoding="utf-8")), name
