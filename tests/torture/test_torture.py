"""A short torture; ``make torture`` runs the long one."""

import pytest

from tests.torture.attacks import kills, neighbours, starved
from tests.torture.damage import flips
from tests.torture.nonsense import malformed
from tests.torture.table import text


@pytest.mark.parametrize(
    ("torture", "least"),
    [(lambda: flips(24, 1), 24), (lambda: malformed(24, 1), 24), (lambda: neighbours(1), 6),
     (lambda: starved(1, 1), 2), (lambda: kills(4, 1), 4)],
    ids=["flips", "malformed", "neighbours", "starved", "kills"],
)  # fmt: skip
def test_survived(torture, least):
    rows = torture()
    assert sum(row.tried for row in rows) >= least
    assert all(row.good for row in rows), text(rows)
