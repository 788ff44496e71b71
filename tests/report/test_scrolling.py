"""A table that goes on beyond the screen shows that it does."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from fedward.report.assets import STYLE
from tests.report.browser import PROGRAM, Browser

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on this machine")


def edges(browser: Browser, name: str) -> list[bool]:
    """Whether there is a shadow at the left and at the right of a box."""
    box = browser.run(
        f"(({{x, y, width}}) => [x, y, width])(document.getElementById('{name}').getBoundingClientRect())"
    )
    shot = browser.send("Page.captureScreenshot", format="png")["data"]
    picture = Image.open(io.BytesIO(base64.b64decode(shot))).convert("L")
    x, y, width = map(int, box)
    return [picture.getpixel((place, y + 10)) < 245 for place in (x + 1, x + width - 2)]


def test_a_shadow_lies_where_a_table_goes_on(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    boxes = [
        f'<div class="scroll" id="{name}"><table style="width: {width}px"><tr><td>&nbsp;</td></tr></table></div>'
        for name, width in (("wide", 900), ("narrow", 200))
    ]
    page.write_text(f"<style>{STYLE}</style><main>{''.join(boxes)}</main>", encoding="utf-8")
    with Browser() as browser:
        browser.open(page, 400)
        assert edges(browser, "narrow") == [False, False]
        assert edges(browser, "wide") == [False, True]
        browser.run("document.getElementById('wide').scrollLeft = 200")
        assert edges(browser, "wide") == [True, True]
        browser.run("document.getElementById('wide').scrollLeft = 9000")
        assert edges(browser, "wide") == [True, False]
