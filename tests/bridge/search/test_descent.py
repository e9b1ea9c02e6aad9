import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from bridge.search.descent import Box, Damped, Damping, Point, Stop, descend
from bridge.search.linear import Pairs


class Quadratic:
    """|J theta + F d - y|^2 + ridge |d|^2, d eliminated."""

    def __init__(self, seed, parameters=4, pairs=3, ridge=0.5):
        rng = np.random.default_rng(seed)
        self.J, self.F = rng.normal(size=(20, parameters)), rng.normal(size=(20, pairs))
        self.y, self.ridge = rng.normal(size=20), ridge

    def residual(self, point):
        return self.y - self.J @ point.theta - self.F @ point.pairs[0]

    def cost(self, point):
        r = self.residual(point)
        return float(r @ r) + self.ridge * float(point.pairs[0] @ point.pairs[0])

    def normal(self, point):
        block = Pairs(self.F, self.ridge).normal(self.J, self.residual(point), point.pairs[0])

        class Normal:
            def damped(self, damping):
                part = block.eliminate(damping)
                return Damped(part.hessian, part.gradient, [part.step], [part.response])

        return Normal()

    def best(self, box):
        """The same by one bounded linear least-squares problem."""
        pairs = self.F.shape[1]
        prior = np.hstack([np.zeros((pairs, self.J.shape[1])), np.sqrt(self.ridge) * np.eye(pairs)])
        rows = np.vstack([np.hstack([self.J, self.F]), prior])
        free = np.full(pairs, np.inf)
        bounds = (np.concatenate([box.low, -free]), np.concatenate([box.high, free]))
        return lsq_linear(rows, np.concatenate([self.y, np.zeros(pairs)]), bounds, tol=1e-12).x


@given(seed=st.integers(0, 2**32 - 1), half=st.floats(0.01, 3.0))
def test_a_search_ends_at_the_least_cost_inside_the_box(seed, half):
    problem, box = Quadratic(seed), Box(-half * np.ones(4), half * np.ones(4))
    start = Point(np.zeros(4), [np.zeros(3)])
    found = descend(problem, start, box, Stop(fall=1e-14, evaluations=500))
    ref = problem.best(box)
    assert found.converged
    assert (np.abs(found.point.theta) <= half).all()
    assert problem.cost(found.point) <= problem.cost(Point(ref[:4], [ref[4:]])) * (1 + 1e-7)
    assert np.allclose(np.concatenate([found.point.theta, *found.point.pairs]), ref, atol=1e-3)


@given(seed=st.integers(0, 2**32 - 1), value=st.floats(-1, 1))
def test_a_held_component_stays(seed, value):
    problem, box = Quadratic(seed), Box(-9 * np.ones(4), 9 * np.ones(4)).held(2, value)
    found = descend(problem, Point(np.zeros(4), [np.zeros(3)]), box, Stop(fall=1e-14, evaluations=500))
    assert found.point.theta[2] == value
    ref = problem.best(
        Box(np.where(np.arange(4) == 2, value - 1e-9, -9), np.where(np.arange(4) == 2, value, 9))
    )
    assert np.allclose(found.point.theta, ref[:4], atol=1e-3)


def test_a_search_that_may_not_end_says_so():
    found = descend(Quadratic(0), Point(np.ones(4), [np.zeros(3)]), Box(-9 * np.ones(4), 9 * np.ones(4)),
                    Stop(fall=0.0, by=0.0, evaluations=4))  # fmt: skip
    assert not found.converged
    assert found.evaluations <= 5


def test_steps_that_fail_are_damped_until_they_succeed_or_the_search_is_over():
    problem = Quadratic(1)
    tried = []

    class Stubborn:
        def cost(self, point):
            tried.append(point.theta)
            return 0.0 if len(tried) == 1 else 1.0

        normal = problem.normal

    start = Point(np.zeros(4), [np.zeros(3)])
    found = descend(Stubborn(), start, Box(-9 * np.ones(4), 9 * np.ones(4)), Stop(evaluations=100),
                    Damping(start=1.0, rise=10.0, most=1e3))  # fmt: skip
    assert found.converged
    assert found.cost == 0.0
    assert np.array_equal(found.point.theta, start.theta)
    sizes = [np.abs(theta).max() for theta in tried[1:]]
    assert len(sizes) == 4  # damping 1, 10, 100, 1000
    assert sizes == sorted(sizes, reverse=True)


@given(seed=st.integers(0, 2**32 - 1), damping=st.floats(0, 10))
def test_eliminated_pairs_are_those_of_the_whole_normal_equations(seed, damping):
    problem = Quadratic(seed)
    pairs = Pairs(problem.F, problem.ridge)
    own, residual = np.linspace(-1, 1, 3), problem.y
    part = pairs.normal(problem.J, residual, own).eliminate(damping)
    both = np.column_stack([problem.J, problem.F])
    squares = both.T @ both
    whole = squares + damping * np.diag(np.diag(squares))
    whole[4:, 4:] += problem.ridge * np.eye(3)
    gradient = both.T @ residual
    gradient[4:] -= problem.ridge * own
    ref = np.linalg.solve(whole, gradient)
    theta = np.linalg.solve(part.hessian, part.gradient)
    assert np.allclose(theta, ref[:4], atol=1e-8)
    assert np.allclose(part.step - part.response @ theta, ref[4:], atol=1e-8)


def test_pairs_project_and_measure_their_volume():
    problem = Quadratic(3)
    pairs = Pairs(problem.F, 0.7)
    hat = problem.F @ np.linalg.solve(problem.F.T @ problem.F + 0.7 * np.eye(3), problem.F.T)
    assert np.allclose(pairs.influence(problem.J), problem.J - hat @ problem.J)
    ref = np.linalg.slogdet(problem.F.T @ problem.F / 0.7 + np.eye(3))[1]
    assert pairs.log_determinant() == pytest.approx(ref)
    none = Pairs(np.zeros((20, 0)), 0.7)
    assert none.log_determinant() == 0.0
    assert np.array_equal(none.influence(problem.J), problem.J)
