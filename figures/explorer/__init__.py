"""The explorer: one HTML file in which the mechanism moves, with recorded runs and the reader's own beside it.

`web/` holds its JavaScript modules, `vendor/` the third-party files it carries. Imports the other rooms of
`figures`; nothing of them imports this one but `pages.compare`, which leaves an explorer beside a report.
"""

from figures.explorer.build import explorer_html
from figures.explorer.commands import explore
from figures.explorer.runs import ShownRun

__all__ = ["ShownRun", "explore", "explorer_html"]
