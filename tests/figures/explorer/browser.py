"""The page in headless Chromium, for tests and benchmarks."""

import shutil
from contextlib import contextmanager

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Moves a slider by steps and gives the milliseconds of every redraw.
TIMED = """async ([id, from, count]) => {
  const slider = document.getElementById(id);
  performance.clearMeasures("redraw");
  for (let n = 0; n < count; n++) {
    slider.value = String(from + n);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((resume) => requestAnimationFrame(() => setTimeout(resume)));
  }
  return performance.getEntriesByName("redraw").map((entry) => entry.duration);
}"""


@contextmanager
def opened(chromium, page_file, state="", **options):
    """The page, opened; afterwards no error may have been logged and nothing asked for."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{page_file}{state}")
    page.wait_for_selector("html[data-ready=yes]")
    settled(page)
    yield page
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", f"file://{page_file}"))] == []


def settled(page):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def type_number(page, name, value):
    box = page.locator(f"#number-{name} input.value")
    box.fill(str(value))
    box.press("Tab")
    settled(page)


def tile(page, name):
    found = page.locator(".tile", has=page.locator("dt", has_text=name)).first.locator("dd").inner_text()
    return found.replace("−", "-")


def table(page):
    rows = page.locator("#table tbody tr").all()
    return [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]


@contextmanager
def headless():
    """Chromium as the system has it; skipped, with the reason, where it or playwright is missing."""
    reason = "playwright is not installed: pip install playwright"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)}): apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()
