"""Speed of the theory of orders, as ratios to what it replaces, timed in the same run."""

import time

import numpy as np

from benchmarks.timing import least
from toymodel import choose_order, cyclic_order, reshuffled_losses, share_losses


def test_reshuffled_expectation_against_one_fixed_order():
    """T = 25, 5 epochs: the mean over all orders at less than twice the cost of one."""
    order = cyclic_order(25, 5)
    share_losses(0.3, 0.7, order)  # compiled
    reshuffled_losses(0.3, 0.7, 25, 5)
    one = least(lambda: share_losses(0.3, 0.7, order), 3000)
    all_orders = least(lambda: reshuffled_losses(0.3, 0.7, 25, 5), 3000)
    print(f"\none order {one * 1e6:.1f} us, all orders {all_orders * 1e6:.1f} us: {all_orders / one:.2f} x")
    assert all_orders < 2 * one


def test_choosing_an_order():
    """All orders of 8 tasks within a second, a search among those of 25 within ten."""
    rng = np.random.default_rng(0)
    for tasks, most in ((8, 1.0), (25, 10.0)):
        x = rng.normal(size=(tasks, 40))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        gram = x @ x.T
        choose_order(gram, 0.3, 0.5, tasks)  # compiled
        start = time.process_time()
        choice = choose_order(gram, 0.3, 0.5, 5 * tasks)
        seconds = time.process_time() - start
        print(
            f"\n{tasks} tasks: {seconds:.2f} s of one core, {choice.evaluated} orders, gain {choice.gain:.0%}"
        )
        assert seconds < most
