"""Redraws of the explorer in a browser, as a slider moves: milliseconds beside what a frame or a blink has.

Least and median of many; other programs on the machine can only add to a time. The last column is a ratio in
the same browser and run: how many redraws of the paper's toy, T = 25, one takes.
"""

import numpy as np
import pytest

from figures.explorer.commands import write_explorer
from tests.figures.explorer.browser import TIMED, headless, opened

# What is shown, and the milliseconds it may take: a frame of a screen; what the eye takes for at once.
CASES = {
    "T=25": ("", 16),
    "T=25, network beside it": ("#run=pythia-1b-adam-seed0", 16),
    "T=25, palindrome": ("#order=palindrome", 16),
    "T=25, partly shared": ("#sharing=part", 16),
    "T=100, partly shared": ("#T=100&sharing=part", 150),
    "T=200": ("#T=200", 150),
    "T=200, palindrome": ("#T=200&order=palindrome", 150),
}


@pytest.fixture(scope="module")
def times(tmp_path_factory):
    path = write_explorer(tmp_path_factory.mktemp("explorer") / "explorer.html")
    found = {}
    with headless() as browser:
        for name, (state, _) in CASES.items():
            with opened(browser, path, state) as page:
                page.evaluate(TIMED, ["slowShare", 150, 20])  # the browser compiles what is used often
                found[name] = np.array(page.evaluate(TIMED, ["slowShare", 200, 60]))
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_redraw_takes_no_longer_than_it_may(times, name):
    most = CASES[name][1]
    least, median = times[name].min(), np.median(times[name])
    ratio = least / times["T=25"].min()
    print(f"\n{name:<26}least {least:6.1f} ms  median {median:6.1f} ms  of {most} ms  ratio {ratio:5.1f}")
    assert least < most
