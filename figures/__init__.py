"""Pictures and reports: the network and the toy model side by side. It may import all other packages.

`draw` turns a `Comparison` into one figure, `save_png` writes it, and `write_report` puts figure, tables
and the fit's own text into a single HTML file.
"""

from bridge import Parameter
from figures.pages.comparison import Comparison, RecoveryRow, recovery_table
from figures.pages.picture import draw
from figures.pages.report import write_report
from figures.style import figure_style, png_bytes, save_png

__all__ = [
    "Comparison",
    "Parameter",
    "RecoveryRow",
    "draw",
    "figure_style",
    "png_bytes",
    "recovery_table",
    "save_png",
    "write_report",
]
