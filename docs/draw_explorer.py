"""Photograph the explorer as docs/explorer.png: Pythia-1B with the toy fitted to it, as a browser shows it.

``python docs/draw_explorer.py`` writes it again; it needs Chromium (apt-get install chromium).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from figures.explorer.commands import write_explorer  # noqa: E402
from tests.figures.explorer.browser import headless, opened  # noqa: E402

STATE = "#run=pythia-1b-adam-seed0"
SIZE = {"width": 1280, "height": 1180}


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Photograph the explorer.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "explorer.png")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, headless() as browser:
        path = write_explorer(Path(folder) / "explorer.html")
        with opened(browser, path, STATE, viewport=SIZE, color_scheme="light") as page:
            page.screenshot(path=out)


if __name__ == "__main__":
    main()
