"""A short torture; ``make torture`` runs the long one."""

import pytest

from tests.torture.attacks import kills, neighbours, starved
from tests.torture.damage import flips
from tests.torture.nonsense import malformed
from tests.torture.table import text


@pytest.mark.parametrize(
    ("torture", "least"),
    [(lambda: flips(160, 1), 160), (lambda: malformed(160, 1), 160), (lambda: neighbours(1), 6),
     (lambda: starved(1, 1), 2), (lambda: kills(16, 1), 16)],
    ids=["flips", "malformed", "neighbours", "starved", "kills"],
)  # fmt: skip
def test_survived(torture, least):
    rows = torture()
    assert sum(row.tried for row in rows) >= least
    assert all(row.good for row in rows), text(rows)
