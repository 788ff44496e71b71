"""What mkdocs does for fedward besides: pages from outside docs/, and links that are right both here and on the forge.

A page links to a file as a reader of the repository would, relative to the page: ``../../results/lora/README.md``,
``../../examples/robust_ddp.py``. Of these, what is a page of the site becomes a link to that page, everything else a
link to the file in the repository. A file that does not exist fails a strict build.
"""

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LOG = logging.getLogger("mkdocs.plugins.fedward")

# Pages that lie where people look for them in a repository. The site has them under project/ and evidence/.
OF_THE_PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
OF_THE_RESULTS = ("results/*.md", "results/*/README.md", "results/*/*.svg", "results/*/*.png")

# A fenced block, or some code in a line, in which nothing is a link; or the address of a link or a picture.
_CODE_OR_LINK = re.compile(
    r"(?P<code>^(?P<fence>```+|~~~+).*?^(?P=fence)\s*?$|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
    r"|(?<=\]\()(?P<target>[^()\s#]+)(?P<fragment>#[^()\s]*)?(?=\))",
    flags=re.DOTALL | re.MULTILINE,
)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|/")


def guests() -> dict[str, str]:
    """Files outside of docs/ that the site shows, pages and pictures, and where it shows them."""
    found = {path: f"project/{path}" for path in OF_THE_PROJECT}
    for pattern in OF_THE_RESULTS:
        paths = (file.relative_to(ROOT).as_posix() for file in sorted(ROOT.glob(pattern)))
        found |= {path: f"evidence/{path}" for path in paths}
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the guests."""
    for source, place in guests().items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


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
