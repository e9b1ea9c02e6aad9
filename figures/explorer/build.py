"""The page from its parts: modules, styles, chart library and runs in one file that asks for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from figures.explorer.shown import ShownRun
from toymodel.base.errors import InputError

__all__ = ["REFIT", "VENDORED", "explorer_html", "modules"]

WEB = Path(__file__).with_name("web")
VENDOR = Path(__file__).with_name("vendor")
REFIT = "python -m figures.explorer.fits"

UPLOT = "1.6.32"
VENDORED: Mapping[str, str] = {
    "uplot/uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot/LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uplot/uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""Third-party files that the page carries, with their SHA-256 as the registry's package has them."""

_START = 'import "#main.js";'


def explorer_html(
    runs: Sequence[ShownRun] = (), *, examples: Iterable[tuple[str, str]] = (), state: str = ""
) -> str:
    """The whole page; equal arguments give equal bytes.

    Args:
        runs: networks to choose from, in this order.
        examples: links of the head that show a run: its words and the id of the run.
        state: what the page shows at first, as behind the # of its links; the paper's toy if empty.

    Raises:
        InputError: when two runs have one id, or a vendored file is not the one that was vendored.
    """
    ids = [run.id for run in runs]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise InputError(f"runs with the same name: {', '.join(sorted(twice))}",
                         expected="every run once", fix="leave out what is named twice")  # fmt: skip
    importmap = json.dumps({"imports": {name: _data_url(text) for name, text in modules().items()}})
    parts = {
        "style": "".join(path.read_text(encoding="utf-8") for path in sorted((WEB / "style").glob("*.css"))),
        "chart_style": _vendored("uplot/uPlot.min.css"),
        "charts": _vendored("uplot/uPlot.iife.min.js"),
        "runs": _script_safe(json.dumps([run.to_json() for run in runs], allow_nan=False)),
        "importmap": importmap,
        "start": _START,
    }
    links = "\n".join(
        f'<a data-state href="#run={escape(run)}">{escape(words)}</a>'
        for words, run in examples
        if run in ids
    )
    template = Template((WEB / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        parts,
        policy=_policy(parts),
        examples=links,
        licence=escape(_vendored("uplot/LICENSE")),
        state=escape(state),
        uplot=UPLOT,
        command=escape(REFIT),
    )


def modules() -> dict[str, str]:
    """The page's own modules by the names they import each other by, in fixed order."""
    found = sorted(path.relative_to(WEB) for path in WEB.rglob("*.js") if "node_modules" not in path.parts)
    return {f"#{path.as_posix()}": (WEB / path).read_text(encoding="utf-8") for path in found}


def _policy(parts: Mapping[str, Any]) -> str:
    """What the page may load: the scripts and styles written into it, and nothing from anywhere."""
    scripts = " ".join(_hash(parts[name]) for name in ("importmap", "charts", "start"))
    style = _hash(f"{parts['chart_style']}\n{parts['style']}")
    rest = "base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src data: {scripts}; style-src {style}; {rest}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_url(text: str) -> str:
    return "data:text/javascript;base64," + base64.b64encode(text.encode()).decode()


def _script_safe(text: str) -> str:
    """JSON whose strings cannot end the script they stand in."""
    return text.replace("<", "\\u003c")


def _vendored(name: str) -> str:
    data = (VENDOR / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != VENDORED[name]:
        raise InputError(f"{name} is not the file that was vendored", expected=f"SHA-256 {VENDORED[name]}",
                         fix="take it again from the package that vendor/README.md names")  # fmt: skip
    return data.decode()
