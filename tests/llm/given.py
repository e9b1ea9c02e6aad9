"""What tests of networks are given, and how they ask."""

import pytest

from toymodel import InputError


def refusal(action):
    """The one line with which an action is refused."""
    with pytest.raises(InputError) as raised:
        action()
    assert "\n" not in str(raised.value)
    return str(raised.value)


class Listener:
    """A tracker that hears of everything and does nothing."""

    def start(self, run):
        pass

    def after_episode(self, run, episode):
        pass

    def close(self):
        pass


class Breakdown(Listener):
    """A tracker that ends a run after some episode, like a machine that goes down."""

    def __init__(self, episode):
        self.episode = episode

    def after_episode(self, run, episode):
        if episode == self.episode:
            raise OSError("the machine went down")


def texts(number, words=60):
    """Documents of made-up but compressible English."""
    import numpy as np

    rng = np.random.default_rng(3)
    vocabulary = [
        "the",
        "river",
        "council",
        "vote",
        "said",
        "of",
        "market",
        "rain",
        "a",
        "on",
        "city",
        "game",
    ]
    return [" ".join(rng.choice(vocabulary, words)) + f" number {i}." for i in range(number)]
