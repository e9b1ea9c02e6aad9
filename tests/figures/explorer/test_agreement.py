"""The page's engine and theory are the packages': both are driven with the same random settings."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import least_squares

import toymodel as tm
from bridge import fit
from bridge.estimate.choice import FAMILY, FOUR
from bridge.estimate.fit import search
from bridge.estimate.pose import pose
from bridge.model.kernels import LEAST
from bridge.model.sharing import directions
from figures.evidence.collection import recorded
from figures.explorer.shown import _NAMES, numbers_of
from toymodel.measures.loss_table import read_table
from toymodel.theory.spectrum import difference_operator

EXACT = 1e-10
KINDS = ("cyclic", "reshuffled", "palindrome", "iid", "middle-shuffled")
share = st.floats(0.0, 0.99)


@st.composite
def problems(draw):
    tasks, epochs = draw(st.integers(3, 12)), draw(st.integers(2, 5))
    return {
        "tasks": tasks,
        "unfitted": draw(share),
        "slowShare": draw(st.floats(0.0, 0.98)),
        "similarity": draw(st.floats(0.0, 0.9)),
        "varianceW": draw(st.floats(1e-3, 1e3)),
        "halfPoint": draw(st.none() | st.floats(0.01, 100)),
        "order": tm.schedule(draw(st.sampled_from(KINDS)), tasks, epochs, draw(st.integers(0, 99))),
    }


@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_losses_agree_with_the_moment_engine(node, problem):
    tasks, order, v = problem["tasks"], problem["order"], problem["varianceW"]
    a = (1 - problem["unfitted"]) * problem["slowShare"]
    b = (1 - problem["unfitted"]) * (1 - problem["slowShare"])
    h = problem["similarity"]
    gram = (1 - h) * np.eye(tasks) + h
    x = tm.moment_losses(np.diag([1.0] * tasks + [v]), a, b, order, gram=gram) / ((1 + v) / 2)
    z = problem["halfPoint"]
    expected = x if z is None else (1 + z) * x / (x + z)
    found = node("losses", **{**problem, "order": order.ravel().tolist()})
    np.testing.assert_allclose(np.reshape(found, x.shape), expected, rtol=EXACT, atol=EXACT)


@settings(deadline=None, max_examples=40)
@given(tasks=st.integers(1, 70), g=st.floats(0.05, 150))
def test_partly_shared_directions_are_the_same(node, tasks, g):
    place, (parts, _) = directions(tasks, g)
    found = node("directions", tasks=tasks, sharedFraction=g / (1 + g))
    assert [one["members"] for one in found] == [np.flatnonzero(row >= 0).tolist() for row in place]
    for one, row in zip(found, parts, strict=True):
        assert one["parts"] == pytest.approx(row[one["members"]], rel=0, abs=EXACT)


@settings(deadline=None, max_examples=60)
@given(problem=problems(), g=st.floats(0.05, 150), drifts=st.tuples(*[st.floats(-1, 1)] * 2))
def test_partly_shared_losses_agree_with_the_mechanism(node, problem, g, drifts):
    link = "linear" if problem["halfPoint"] is None else "saturating"
    form = replace(FOUR, drift="epoch", link=link, sharing="beta")
    drift = dict(zip(("unfittedDrift", "slowDrift"), drifts, strict=True))
    numbers = {**problem, **drift, "sharedFraction": g / (1 + g), "similarity": 0.0}
    numbers |= {name: max(problem[name], 1e-3) for name in ("unfitted", "slowShare")}  # those with a logit
    theta = np.array([term.free(numbers[_NAMES[term.name]]) for term in form.terms])
    expected = form.losses(theta, problem["order"])
    found = node("losses", **{**numbers, "order": problem["order"].ravel().tolist()})
    # Below a least distance the mechanism's losses stay where they are; the link is steep there.
    z = problem["halfPoint"]
    least = LEAST if z is None else (1 + z) * LEAST / (LEAST + z)
    found = np.maximum(np.reshape(found, expected.shape), least)
    np.testing.assert_allclose(found, expected, rtol=EXACT, atol=EXACT)


@settings(deadline=None, max_examples=40)
@given(
    values=arrays(float, (13, 4), elements=st.floats(0.0, 10.0)),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 99),
)
def test_measures_agree(node, values, kind, seed):
    losses = tm.LossMatrix(values, tm.schedule(kind, 4, 3, seed))
    found = node("measures", tasks=4, values=values.ravel().tolist(), order=losses.order.ravel().tolist())
    expected = [s.value if s else None for s in tm.recovery_scores(losses)]
    assert [s is None for s in found["scores"]] == [s is None for s in expected]
    for mine, theirs in zip(found["scores"], expected, strict=True):
        assert mine == pytest.approx(theirs, abs=EXACT)
    assert found["online"] == pytest.approx(tm.online_loss(losses), abs=EXACT)
    assert found["after"] == pytest.approx(values[4::4].mean(1), abs=EXACT)
    for n, curve in enumerate(found["curves"]):
        for lag, value in enumerate(curve):
            rows = [(v[n] + 1 + lag, j, v) for j, v in enumerate(tm.visits(losses)) if len(v) > n]
            seen = [values[row, j] for row, j, v in rows if row <= (v[n + 1] if n + 1 < len(v) else 12)]
            assert value == (pytest.approx(np.mean(seen), abs=EXACT) if seen else None)


@settings(deadline=None, max_examples=60)
@given(slow=st.floats(0.01, 1.5), total=st.floats(0.05, 1.9), tasks=st.integers(2, 60))
def test_the_theory_of_the_ring_agrees(node, slow, total, tasks):
    fast = total - slow
    expected = tm.ring_roots(slow, fast, tasks) ** tasks
    found = node("ring", slow=slow, fast=fast, tasks=tasks)
    values = np.array(found["re"]) + 1j * np.array(found["im"])
    distance = np.abs(values[:, None] - expected[None, :])
    scale = 1 + np.abs(expected).max()
    # Each has its partner, either way round; where roots nearly coincide both are known to half the digits.
    apart = np.abs(np.subtract.outer(tm.ring_roots(slow, fast, tasks), tm.ring_roots(slow, fast, tasks)))
    apart = apart[~np.eye(tasks, dtype=bool)].min()
    assume(apart > 1e-4)
    assert max(distance.min(0).max(), distance.min(1).max()) < 1e-8 * scale
    assert found["stable"] == bool(tm.ring_stable(slow, fast, tasks))
    score = tm.ring_recovery(slow, fast, tasks)
    if found["approached"] is not None and score:
        assert found["approached"] == pytest.approx(score.value, abs=1e-8)
    assert found["turns"] == pytest.approx(tm.turns_per_epoch(slow, fast, tasks), rel=EXACT)


CELLS = st.sampled_from(["1", "-2.5", "3e-2", ".5", "", "nan", "NA", "inf", "x", '"4"', "index", "0"])


@settings(deadline=None, max_examples=150)
@given(
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=4), min_size=1, max_size=4),
    delimiter=st.sampled_from(",;\t"),
)
def test_tables_are_read_as_toymodel_reads_them(node, tmp_path_factory, rows, delimiter):
    text = "\n".join(delimiter.join(row) for row in rows)
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_text(text)
    found = node("csv", text=text)
    try:
        expected = read_table(path)
    except tm.InputError:
        assert "refused" in found
    else:
        assert found.get("shape") == list(expected.shape), found
        np.testing.assert_array_equal([float(value) for value in found["values"]], expected.ravel())


@pytest.mark.parametrize("similarity", [0.0, 0.3])
@pytest.mark.parametrize("tasks", [2, 25])
def test_the_limit_of_the_slow_share_is_the_papers(node, tasks, similarity):
    limit = node("limit", tasks=tasks, similarity=similarity)
    assert limit == pytest.approx(tm.slow_step_limit(tasks, similarity=similarity), rel=EXACT)


@settings(deadline=None, max_examples=30)
@given(slow=st.floats(0.01, 0.9), fast=st.floats(0.01, 0.9), tasks=st.integers(2, 20))
def test_the_palindromes_spectrum_agrees(node, slow, fast, tasks):
    forward = difference_operator(np.eye(tasks), slow, fast)
    backward = difference_operator(np.eye(tasks), slow, fast, np.arange(tasks)[::-1])
    expected = np.sort(np.linalg.eigvals(backward @ forward).real)[::-1]
    found = node("palindrome", slow=slow, fast=fast, tasks=tasks)
    assert found == pytest.approx(expected, abs=1e-7)  # eigvals knows those of a defective matrix no better


def test_reshuffling_in_expectation_agrees_with_drawn_orders(node):
    tasks, epochs, draws = 6, 3, 4000
    online = np.zeros((draws, epochs))
    for seed in range(draws):
        order = tm.schedule("reshuffled", tasks, epochs, seed)
        losses = tm.share_losses(0.3, 0.6, order, variance_w=0.5) / 0.75
        online[seed] = tm.online_loss(tm.LossMatrix(losses, order))
    found = node("reshuffled", tasks=tasks, slow=0.3, fast=0.6, varianceW=0.5, epochs=epochs)["online"]
    error = online.std(0) / np.sqrt(draws)
    assert (np.abs(online.mean(0) - found) < 4 * error + 1e-12).all()


def test_partly_shared_reshuffling_agrees_with_drawn_orders(node):
    tasks, epochs, draws, g = 6, 3, 1500, 0.8
    form = replace(FOUR, link="linear", sharing="beta")
    theta = np.array([np.log(0.1 / 0.9), np.log(0.3 / 0.6), np.log(0.5), np.log(g)])
    online, after = np.zeros((2, draws, epochs))
    for seed in range(draws):
        order = tm.schedule("reshuffled", tasks, epochs, seed)
        losses = tm.LossMatrix(form.losses(theta, order), order)
        online[seed] = tm.online_loss(losses)
        after[seed] = losses.values[tasks::tasks].mean(1)
    asked = {"tasks": tasks, "slow": 0.3, "fast": 0.6, "varianceW": 0.5, "epochs": epochs}
    found = node("reshuffled", **asked, sharedFraction=g / (1 + g))
    plain = node("reshuffled", **asked)
    for drawn, name in ((online, "online"), (after, "after")):
        error = drawn.std(0) / np.sqrt(draws)
        assert (np.abs(drawn.mean(0) - found[name]) < 4 * error + 1e-12).all()
        assert (np.abs(drawn.mean(0) - plain[name])[1:] > 8 * error[1:]).all()


def test_a_path_in_the_plane_is_a_simulation(node):
    tasks = tm.random_tasks(6, 8, seed=1)
    order = tm.schedule("cyclic", 6, 3)
    x = np.linalg.qr(tasks.x.T)[0].T  # orthonormal data: slow step a = rate
    run = tm.simulate(
        tm.Tasks(x=x, y=tasks.y, P=tasks.P, w=tasks.w), "identity", rate=0.3, epochs=3, record=("q", "w")
    )
    q, w = run.trajectories["q"][..., :2], run.trajectories["w"][..., :2]
    found = node(
        "path", tasks=6, q=q[0].ravel().tolist(), w=w[0].tolist(), slow=0.3, fast=0.7,
        order=order.ravel().tolist(),
    )  # fmt: skip
    assert found["q"] == pytest.approx(q[-1].ravel(), abs=EXACT)
    assert found["w"] == pytest.approx(w[-1], abs=EXACT)


@pytest.mark.parametrize("name", ["pythia-1b-adam-seed0", "smollm2-random-adam1e-4-seed0"])
def test_the_pages_fit_is_bridges_least_squares(node, name):
    losses = recorded().named(name).losses
    unit = float(losses.values.max())
    problem, _ = pose([losses], FOUR, (), {}, [np.ones(losses.values.shape)], unit)
    theta = search(problem, 6, 0)[0].theta
    expected = [term.natural(x) for term, x in zip(FOUR.terms, theta, strict=True)]
    mine = node(
        "fit", tasks=losses.tasks, values=losses.values.ravel().tolist(), order=losses.order.ravel().tolist()
    )
    unfitted, slow, variance, half_point = mine["numbers"].values()
    assert (unfitted, slow) == pytest.approx(expected[:2], rel=2e-3)
    # These two trade against each other, and each search stops somewhere on that ridge.
    assert (variance, half_point) == pytest.approx(expected[2:], rel=0.03)


@pytest.mark.parametrize("form", FAMILY)
def test_every_form_that_bridge_chooses_from_has_its_sliders(node, form):
    """The toy at a fit's numbers is what `bridge` predicts, drifts and links included."""
    losses = recorded().named("pythia-1b-sgd-seed0").losses
    found = fit(losses, FAMILY[form], starts=2, intervals_by="none")
    numbers = {"similarity": 0.0, **numbers_of(found)}
    shapes = node("losses", tasks=losses.tasks, order=losses.order.ravel().tolist(), **numbers)
    shapes = np.reshape(shapes, losses.values.shape)
    expected = found.mechanism.losses(found.theta(), losses.order)
    np.testing.assert_allclose(shapes / shapes[0], expected / expected[0], rtol=1e-8, atol=1e-8)


def test_a_fit_is_least_squares(node):
    """Without help from `bridge`: SciPy's least squares of the same residuals ends at the same place."""
    rng = np.random.default_rng(3)
    order = tm.cyclic_order(10, 4)

    def shapes(theta):
        u, s = 1 / (1 + np.exp(-theta[:2]))
        v, z = np.exp(theta[2:])
        x = tm.share_losses((1 - u) * s, (1 - u) * (1 - s), order, variance_w=v) / ((1 + v) / 2)
        return (1 + z) * x / (x + z)

    values = 5 * shapes(np.array([-1.0, -0.3, 0.5, -0.5])) + rng.normal(0, 0.05, (41, 10))

    def residuals(theta):
        h = shapes(theta)
        return (values - h * ((h * values).sum(0) / (h * h).sum(0))).ravel()

    theirs = least_squares(residuals, np.array([-0.8, -0.4, 0.3, -0.2])).x
    mine = node("fit", tasks=10, values=values.ravel().tolist(), order=order.ravel().tolist())["numbers"]
    expected = (*(1 / (1 + np.exp(-theirs[:2]))), *np.exp(theirs[2:]))
    # The weak priors, which SciPy was not given, move the numbers by less than this.
    assert list(mine.values()) == pytest.approx(expected, rel=0.02)
