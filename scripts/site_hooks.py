"""What mkdocs does for fedward besides: pages from outside docs/, and links that are right both here and on the forge.

A page links to a file as a reader of the repository would, relative to the page: ``../../results/lora/README.md``,
``../../examples/robust_ddp.py``. Of these, what is a page of the site becomes a link to that page, everything else a
link to the file in the repository. A file that does not exist fails a strict build.
"""

import base64
import json
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LOG = logging.getLogger("mkdocs.plugins.fedward")

# Pages that lie where people look for them in a repository. The site has them under project/ and evidence/.
OF_THE_PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
# Notebooks are pages with their outputs, under how-to/.
OF_THE_EXAMPLES = ("examples/README.md", "examples/*.ipynb")
OF_THE_RESULTS = ("results/*.md", "results/*/README.md", "results/*/*.svg", "results/*/*.png")

# A fenced block, or some code in a line, in which nothing is a link; or the address of a link or a picture.
_CODE_OR_LINK = re.compile(
    r"(?P<code>^(?P<fence>```+|~~~+).*?^(?P=fence)\s*?$|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
    r"|(?<=\]\()(?P<target>[^()\s#]+)(?P<fragment>#[^()\s]*)?(?=\))",
    flags=re.DOTALL | re.MULTILINE,
)
_ASKS = ' data-md-component="source"'
"""What has the theme's script ask."""
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|/")


def guests() -> dict[str, str]:
    """Files outside of docs/ that the site shows, pages and pictures, and where it shows them."""
    found = {path: f"project/{path}" for path in OF_THE_PROJECT}
    for pattern in OF_THE_RESULTS:
        paths = (file.relative_to(ROOT).as_posix() for file in sorted(ROOT.glob(pattern)))
        found |= {path: f"evidence/{path}" for path in paths}
    for pattern in OF_THE_EXAMPLES:
        for file in sorted(ROOT.glob(pattern)):
            found[f"examples/{file.name}"] = f"how-to/examples/{file.stem}.md"
    return found


def page_of(notebook: str) -> str:
    """A notebook as Markdown: its texts, its code, and what came out."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
        elif cell["cell_type"] == "code" and text:
            parts += [_fenced(text, "python"), *filter(None, map(_came_out, cell["outputs"]))]
    return "\n\n".join(parts) + "\n"


def _came_out(output: dict[str, Any]) -> str:
    """One output of a cell: a picture, or else text."""
    data = output.get("data", {})
    if "image/png" in data:
        return f'<img alt="what the code above draws" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    if "image/svg+xml" in data:
        drawn = base64.b64encode("".join(data["image/svg+xml"]).encode()).decode()
        return f'<img alt="what the code above draws" src="data:image/svg+xml;base64,{drawn}">'
    if output["output_type"] == "error":
        raise PluginError(f"a notebook of the examples ends in an error: {output['ename']}: {output['evalue']}")
    return _fenced("".join(output.get("text", data.get("text/plain", ""))), "")


def _fenced(text: str, language: str) -> str:
    return f"````{language}\n{text.rstrip()}\n````" if text.strip() else ""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the guests."""
    for source, place in guests().items():
        if source.endswith(".ipynb"):
            files.append(File.generated(config, place, content=page_of((ROOT / source).read_text(encoding="utf-8"))))
        else:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Show the link to the repository without asking its host, on each visit, for how many stars it has."""
    return output.replace(_ASKS, "")


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """The same of pages that are no documents, such as that of what is not found."""
    return output_content.replace(_ASKS, "")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files of the repository at the site, where it has them, or at the repository."""
    shown = guests()
    here = page.file.src_uri
    source = next((path for path, place in shown.items() if place == here), f"docs/{here}")

    def link(match: re.Match[str]) -> str:
        target = match["target"]
        if match["code"] or _ELSEWHERE.match(target):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = shown.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if place is not None and files.get_file_from_path(place) is not None:
            return posixpath.relpath(place, posixpath.dirname(here)) + (match["fragment"] or "")
        if not (ROOT / path).exists():
            LOG.warning("%s links to %s, which does not exist", source, path)
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{config.repo_url.rstrip('/')}/{kind}/main/{path}{match['fragment'] or ''}"

    return _CODE_OR_LINK.sub(link, markdown)
