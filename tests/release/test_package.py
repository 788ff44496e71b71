"""What is in the wheel and in the source archive, and how large they are. Both are built here, by hatchling alone."""

from __future__ import annotations

import email
import re
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "fedward"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

for needed in ("hatchling", "hatch_fancy_pypi_readme"):
    pytest.importorskip(needed, reason=f"{needed} builds the package, and is not installed: pip install --group build")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tarfile.TarFile:
    from hatchling.builders.sdist import SdistBuilder

    (built,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("sdist")), versions=["standard"])
    return tarfile.open(built)


def tracked(folder: str) -> set[str]:
    """The files that git knows below a folder."""
    asked = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip("no git checkout, so nobody says which files are ours")
    return {line for line in asked.stdout.splitlines() if (ROOT / line).exists()}


def test_the_wheel_is_the_package_and_its_data_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == {name.removeprefix("src/") for name in tracked("src/fedward")}


def test_the_wheel_has_what_the_package_reads(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "fedward/py.typed" in names
    for folder, ends in (("data/datasets", ""), ("published", ".toml"), ("published", ".csv"), ("report", ".toml")):
        here = [
            file for file in (PACKAGE / folder).rglob(f"*{ends}") if file.is_file() and "__pycache__" not in file.parts
        ]
        assert here, folder
        for file in here:
            assert f"fedward/{file.relative_to(PACKAGE).as_posix()}" in names


def test_the_wheel_is_no_larger_than_its_data_make_it(wheel: zipfile.ZipFile) -> None:
    packed = {info.filename: info.compress_size for info in wheel.infolist()}
    data = sum(size for name, size in packed.items() if name.startswith("fedward/data/datasets/"))
    assert sum(packed.values()) - data < 1_500_000


def test_what_the_wheel_says_of_itself(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    said = email.message_from_bytes(wheel.read(name))
    assert (said["Name"], said["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Description-Content-Type"] == "text/markdown"
    assert {line.partition(", ")[0] for line in said.get_all("Project-URL")} == set(PROJECT["urls"])
    assert set(said.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    (points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"fedward = fedward.__main__:main" in wheel.read(points)


def test_what_pypi_shows_leads_somewhere(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    shown = email.message_from_bytes(wheel.read(name)).get_payload()
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]*)\)", str(shown))
    assert len(links) == len(re.findall(r"\]\(", (ROOT / "README.md").read_text(encoding="utf-8"))) > 20
    version = PROJECT["version"]
    for picture, link in links:
        host = (
            "https://raw.githubusercontent.com/fedward/fedward"
            if picture
            else "https://github.com/fedward/fedward/blob"
        )
        if link.startswith((host, "https://github.com/fedward")):
            assert link.startswith(f"{host}/v{version}/"), link
            page = link.removeprefix(f"{host}/v{version}/").partition("#")[0]  # headings are the site's to check
            assert (ROOT / page).exists(), link
        else:
            assert link == "https://flower.ai"


def test_the_archive_can_run_the_tests(archive: tarfile.TarFile) -> None:
    inside = {re.sub(r"^[^/]*/", "", name) for name in archive.getnames()}
    for folder in ("src", "tests", "docs", "examples", "results", "scripts", "benchmarks", ".github"):
        missing = tracked(folder) - inside
        assert not missing, sorted(missing)[:5]
    top = {"pyproject.toml", "Makefile", "constraints.txt", "constraints-oldest.txt", "mkdocs.yml", "CITATION.cff"}
    assert top | {"README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"} <= inside


def test_the_archive_holds_nothing_that_git_does_not_know(archive: tarfile.TarFile) -> None:
    inside = {re.sub(r"^[^/]*/", "", member.name) for member in archive.getmembers() if member.isfile()}
    assert inside - tracked(".") == {"PKG-INFO"}


def test_the_archive_is_a_few_megabytes(archive: tarfile.TarFile) -> None:
    assert archive.name is not None
    assert Path(archive.name).stat().st_size < 16_000_000
