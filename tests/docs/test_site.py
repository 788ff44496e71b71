"""The site is built strictly, has every public name, and needs nothing from elsewhere."""

import importlib
import inspect
import json
import logging
import pkgutil
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import fedward as fw

pytest.importorskip("mkdocs", reason="mkdocs builds the site, and is not installed: pip install --group docs")

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import PluginCollection
from mkdocs.structure.files import Files

from scripts import site_hooks

ROOT = Path(__file__).parents[2]
# What a browser would fetch to show a page: scripts, style sheets, pictures and fonts, not links to be followed.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(https?:)?//|<link\b[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon)"""
    r"""[^>]*\bhref=["']?(https?:)?//"""
)
_ELSEWHERE = re.compile(r"url\([\"']?(https?:)?//|@import\s+[\"'](https?:)?//")


def modules() -> Iterator[ModuleType]:
    """The public modules whose dependencies are here."""
    yield fw
    for found in pkgutil.iter_modules(fw.__path__):
        try:
            module = importlib.import_module(f"fedward.{found.name}")
        except ImportError:  # an extra that is not installed
            continue
        if hasattr(module, "__all__"):
            yield module


def public() -> Iterator[tuple[str, Any]]:
    """Each public name, with its module, and what it means."""
    for module in modules():
        for name in module.__all__:
            found = getattr(module, name)
            if not inspect.ismodule(found):
                yield f"{module.__name__}.{name}", found


def documented(site: Path) -> set[str]:
    """Names that have a place on the site, as other sites would look them up."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}


def test_it_builds_strictly_and_has_every_public_name(tmp_path: Path) -> None:
    # Without --quiet, which keeps warnings from being counted.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    known = documented(tmp_path)
    homes = {name: f"{getattr(of, '__module__', '')}.{getattr(of, '__qualname__', '')}" for name, of in public()}
    assert [name for name, home in homes.items() if not {name, home} & known] == []
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 40
    assert [page for page in pages if _FETCHED.search(page.read_text(encoding="utf-8"))] == []
    assert [sheet for sheet in tmp_path.rglob("*.css") if _ELSEWHERE.search(sheet.read_text(encoding="utf-8"))] == []
    assert [page for page in pages if 'data-md-component="source"' in page.read_text(encoding="utf-8")] == []  # asks
    assert (tmp_path / "search" / "search_index.js").exists()


def test_public_names_have_docstrings_of_their_own() -> None:
    def said(of: Any) -> bool:
        # What a dataclass writes by itself says nothing.
        return bool(of.__doc__) and not of.__doc__.startswith(f"{of.__name__}(")

    told = [(name, of) for name, of in public() if inspect.isclass(of) or inspect.isfunction(of)]
    assert len(told) > 300
    assert [name for name, of in told if not said(of)] == []


def arguments_told(doc: str) -> Iterator[str]:
    """The names that a docstring's "Args" section tells of."""
    _, found, section = inspect.cleandoc(doc).partition("\nArgs:\n")
    if not found:
        return
    for line in section.splitlines():
        if line and not line.startswith("    "):
            return
        if told := re.match(r"    (\w+(?:, \w+)*):", line):
            yield from told[1].split(", ")


def test_docstrings_tell_of_parameters_that_exist() -> None:
    wrong = []
    tried = 0
    for name, of in public():
        if not (inspect.isclass(of) or inspect.isfunction(of)):
            continue
        told = [*arguments_told(of.__doc__ or "")]
        parameters = inspect.signature(of).parameters if told else {}
        tried += len(told)
        wrong += [f"{name}: {each}" for each in told if each not in parameters]
    assert wrong == []
    assert tried > 300


def rewritten(markdown: str, page: str, caplog: pytest.LogCaptureFixture) -> tuple[str, list[str]]:
    """What the hook makes of a page, and what it complains about."""
    config = MkDocsConfig(str(ROOT / "mkdocs.yml"))
    config.plugins = PluginCollection()
    config.plugins._current_plugin = "fedward"  # as while mkdocs asks the hooks
    config.load_dict({"site_name": "x", "docs_dir": str(ROOT / "docs"), "repo_url": "https://forge.test/us/it"})
    files = Files([])
    site_hooks.on_files(files, config)
    here: Any = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    with caplog.at_level(logging.WARNING):
        return site_hooks.on_page_markdown(markdown, here, config, files), caplog.messages


@pytest.mark.parametrize(
    ("page", "link", "becomes"),
    [
        ("how-to/models.md", "../../results/lora/README.md", "../evidence/results/lora/README.md"),
        ("how-to/models.md", "../../SECURITY.md#at-your-own-risk", "../project/SECURITY.md#at-your-own-risk"),
        (
            "how-to/models.md",
            "../../examples/robust_ddp.py",
            "https://forge.test/us/it/blob/main/examples/robust_ddp.py",
        ),
        ("how-to/models.md", "../../examples", "https://forge.test/us/it/tree/main/examples"),
        ("project/SECURITY.md", "results/redteam/README.md", "../evidence/results/redteam/README.md"),
        ("evidence/results/siren/README.md", "accuracy.svg", "accuracy.svg"),
        ("evidence/results/siren/README.md", "../claims.md", "../claims.md"),
        ("how-to/models.md", "https://example.org/README.md", "https://example.org/README.md"),
        ("how-to/models.md", "#here", "#here"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(
    page: str, link: str, becomes: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert rewritten(f"see [this]({link}), ![that]({link})", page, caplog) == (
        f"see [this]({becomes}), ![that]({becomes})",
        [],
    )


def test_code_has_no_links(caplog: pytest.LogCaptureFixture) -> None:
    page = "`rows[i](x)`\n\n```python\nrules[0](no)\n```\n"
    assert rewritten(page, "how-to/models.md", caplog) == (page, [])


def test_a_link_to_nothing_is_complained_about(caplog: pytest.LogCaptureFixture) -> None:
    _, complaints = rewritten("[x](../../results/none.svg)", "how-to/models.md", caplog)
    assert complaints == ["docs/how-to/models.md links to results/none.svg, which does not exist"]


def test_notebooks_become_pages_with_what_came_out() -> None:
    drawn = {"output_type": "display_data", "data": {"image/png": "AAAA\n", "text/plain": ["<Figure>"]}}
    said = {"output_type": "stream", "name": "stdout", "text": ["2\n", "3\n"]}
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "See [this](robust_ddp.py)."]},
        {"cell_type": "code", "source": ["print(2)\n", "print(3)"], "outputs": [said, drawn]},
        {"cell_type": "code", "source": [], "outputs": []},
    ]
    page = site_hooks.page_of(json.dumps({"cells": cells}))
    assert page == (
        "# Title\nSee [this](robust_ddp.py).\n\n````python\nprint(2)\nprint(3)\n````\n\n````\n2\n3\n````\n\n"
        '<img alt="what the code above draws" src="data:image/png;base64,AAAA">\n'
    )
    failed = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}
    cells[1]["outputs"] = [failed]
    with pytest.raises(PluginError, match="ValueError: no"):
        site_hooks.page_of(json.dumps({"cells": cells}))
