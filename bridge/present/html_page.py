"""What every HTML page here has in common: one file that needs nothing but itself, legible on a phone."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from string import Template

__all__ = ["page", "picture", "table"]

# Tables, pictures and terminal text scroll sideways, each in its own box; the page itself never does.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1b1b1b; --page: #ffffff; --line: #cccccc; --soft: #f3f3f3; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --page: #17191c; --line: #45494f; --soft: #22252a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: var(--ink); background: var(--page);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
.box { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.35rem 0.8rem 0.35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
td.words { min-width: 12rem; }
@media (min-width: 52rem) { td:first-child { white-space: nowrap; } wbr { display: none; } }
@media (max-width: 30rem) { th, td { padding-right: 0.5rem; } td.words { min-width: 8rem; } }
figure { margin: 0; }
/* Pictures keep a white ground in dark mode, and a width at which their labels can be read. */
figure img { display: block; width: 100%; min-width: 36rem; height: auto; background: #ffffff; }
pre { padding: 0.8rem; background: var(--soft); font-size: 0.85rem; line-height: 1.4; overflow-wrap: normal; }
$style</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")
# A cell with more characters than this is a sentence, and keeps its column wide enough to read.
_SENTENCE = 30


def page(title: str, body: str, style: str = "") -> str:
    """A whole page.

    Args:
        title: text of its title and first heading.
        body: HTML of the rest.
        style: rules of its own, which come last.
    """
    return _PAGE.substitute(title=html.escape(title), body=body, style=style)


def picture(png: bytes, alt: str) -> str:
    """A picture inside the page.

    Args:
        png: the file.
        alt: what it shows, for readers who do not see it.
    """
    data = base64.b64encode(png).decode("ascii")
    return f'<figure class="box"><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}"></figure>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in its own scrolling box, of plain text that is escaped here."""
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    lines = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return (
        f'<div class="box"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table></div>'
    )


def _cell(text: str) -> str:
    kind = ' class="words"' if len(text) > _SENTENCE else ""
    # Names may break after an underscore, or a phone would show little beside them.
    return f"<td{kind}>{html.escape(text).replace('_', '_<wbr>')}</td>"
