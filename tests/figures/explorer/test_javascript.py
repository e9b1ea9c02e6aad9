"""The modules' own tests, which node runs, and that their files keep to the house's measures."""

import subprocess

import pytest

from figures.explorer.build import WEB
from tests.figures.explorer.node import WEB_TESTS, node_program

SUITES = sorted(path.name for path in WEB_TESTS.glob("*.test.mjs"))


@pytest.mark.parametrize("suite", SUITES)
def test_the_modules_pass_their_own_tests(suite):
    done = subprocess.run([node_program(), "--test", WEB_TESTS / suite], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout


def test_files_are_short_and_rooms_small():
    files = [p for p in WEB.rglob("*") if p.suffix in (".js", ".css") and "node_modules" not in p.parts]
    assert all(len(path.read_text().splitlines()) <= 350 for path in files)
    for room in {path.parent for path in files}:
        assert sum(path.parent == room for path in files) <= 12
