from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

from bridge import Mechanism, fit, report
from bridge.estimate.checks import misplaced_epochs, trained_place
from bridge.estimate.fit import pose
from bridge.judge.findings import _NOT_TRAINED, find
from bridge.search.linear import project
from bridge.search.problem import Weights
from tests.bridge.simulated import simulated, truth
from toymodel import InputError, LossMatrix, cyclic_order

ONE = Mechanism(channels=1, nearness=False, pairs=False)
PLAIN = Mechanism(channels=1, drift="none", link="linear", nearness=False, pairs=False)


def made(form=ONE, seed=0, **options):
    rng = np.random.default_rng(seed)
    theta = truth(form, rng, 0.5)
    return simulated(form, theta, rng, **options), theta


def test_losses_without_noise_give_the_parameters_back():
    losses, theta = made(tasks=10, epochs=3, deviation=0.0)
    result = fit(losses, ONE, starts=4)
    # Noise that vanishes makes the priors vanish with it.
    assert result.r2 == pytest.approx(1.0, abs=1e-6)
    assert np.allclose(result.theta(), theta, atol=5e-3)


def test_the_search_ends_where_a_general_optimiser_ends():
    losses, _ = made(tasks=8, epochs=3)
    result = fit(losses, ONE, starts=4, intervals_by="none")
    problem, noise = result.problem, result.noise

    def stacked(theta):
        shapes = ONE.losses(theta, losses.order)
        values = losses.values / result.unit
        k = (shapes * values).sum(0) / (shapes**2).sum(0)
        prior = np.sqrt(noise.used.noise) * (theta - problem.centre) / problem.width
        return np.concatenate([(values - k * shapes).ravel(), prior])

    ref = least_squares(stacked, result.theta(), xtol=1e-12, ftol=1e-12, gtol=1e-12)
    assert np.allclose(result.theta(), ref.x, atol=2e-3)
    assert result.solution.cost == pytest.approx(2 * ref.cost, rel=1e-5)


@pytest.mark.parametrize("scale", ["document", "common"])
@pytest.mark.parametrize("floor", [False, True])
def test_scales_and_floors_are_those_of_constrained_least_squares(scale, floor):
    form = Mechanism(channels=1, nearness=False, pairs=False, scale=scale, floor=floor)
    losses, theta = made(tasks=6, epochs=3, deviation=0.4)
    problem, _ = pose([losses], form, (), {}, [np.ones(losses.values.shape)])
    shapes = form.losses(theta, losses.order)
    part = project(form, problem.blocks[0], shapes)
    groups = [[j] for j in range(6)] if scale == "document" else [list(range(6))]
    for group in groups:
        x = shapes[:, group].ravel()
        columns = np.column_stack([x, np.ones_like(x)] if floor else [x])
        ref = least_squares(
            lambda b, c=columns, g=group: c @ b - losses.values[:, g].ravel(),
            np.ones(columns.shape[1]), bounds=(0, np.inf), xtol=1e-14, ftol=1e-14, gtol=1e-14,
        ).x  # fmt: skip
        assert np.allclose(part.scales[group], ref[0], atol=1e-4)
        assert np.allclose(part.floors[group], ref[1] if floor else 0.0, atol=1e-4)
    assert (part.floors >= 0).all()


def test_missing_losses_are_not_looked_at():
    losses, _ = made(tasks=8, epochs=3)
    observed = np.random.default_rng(1).random(losses.values.shape) > 0.3
    spoiled = LossMatrix(np.where(observed, losses.values, 99.0), losses.order)
    ref = fit(losses, ONE, observed=observed, starts=2, intervals_by="none")
    comp = fit(spoiled, ONE, observed=observed, starts=2, intervals_by="none")
    assert np.allclose(ref.theta(), comp.theta(), atol=1e-9)
    assert comp.problem.observations == observed.sum()


def test_any_schedule_can_be_fitted():
    rng = np.random.default_rng(3)
    order = np.array([rng.integers(0, 9, 9) for _ in range(4)])  # repeats some documents, misses others
    theta = truth(ONE, rng, 0.5)
    losses = simulated(ONE, theta, rng, tasks=9, order=order, deviation=0.02)
    assert fit(losses, ONE, starts=4, intervals_by="none").r2 > 0.99


def test_shared_parameters_are_one_number_and_the_others_are_not():
    rng = np.random.default_rng(5)
    theta = truth(ONE, rng, 0.5)
    other = theta.copy()
    other[0] += 0.8
    runs = [simulated(ONE, t, rng, tasks=8, epochs=3, deviation=0.05) for t in (theta, other)]
    shared = [n for n in ONE.names if n != "unfitted_fraction"]
    result = fit(runs, ONE, shared=shared, starts=3)
    assert result.names[:2] == ("unfitted_fraction[1]", "unfitted_fraction[2]")
    assert len(result.names) == len(ONE.names) + 1
    assert np.array_equal(result.theta(0)[1:], result.theta(1)[1:])
    assert result.theta(1)[0] - result.theta(0)[0] == pytest.approx(0.8, abs=0.15)
    assert "2 runs jointly" in report(result)


def test_documents_may_be_correlated():
    form = Mechanism(channels=1, nearness=False)
    rng = np.random.default_rng(7)
    pairs = rng.normal(0, 0.08, 45)
    theta = truth(form, rng, 0.4)
    losses = simulated(form, theta, rng, tasks=10, epochs=4, deviation=0.05, pairs=pairs)
    result = fit(losses, form, starts=3, intervals_by="none")
    without = fit(losses, ONE, starts=3, intervals_by="none")
    assert np.corrcoef(result.pairs(), pairs)[0, 1] > 0.8
    assert result.r2 > without.r2
    assert 30 < result.noise.dimension < 1000  # drawn with 1/0.08^2 = 156


def test_channels_are_numbered_by_what_an_episode_leaves():
    form = Mechanism(channels=2, nearness=False, pairs=False)
    losses, _ = made(form, tasks=10, epochs=4)
    for seed in range(2):
        result = fit(losses, form, starts=3, seed=seed, intervals_by="none")
        values = {p.name: p.value for p in result.parameters}
        assert values["unfitted_fraction_1"] <= values["unfitted_fraction_2"]
        again = form.losses(result.theta(), losses.order)
        used = Weights(result.noise.used.noise)
        cost = result.problem.cost(result.solution.theta, result.solution.pairs, used)
        assert np.isfinite(again).all()
        # Renumbering moves the weights' priors a little and the losses not at all.
        assert cost == pytest.approx(result.solution.cost, rel=0.02)


def test_bounds_hold_and_equal_ends_fix():
    losses, _ = made(tasks=8, epochs=3)
    result = fit(losses, ONE, bounds={"slow_share": (0.4, 0.5), "exponent": (1.5, 1.5)}, starts=2)
    found = {p.name: p for p in result.parameters}
    assert 0.4 - 1e-12 <= found["slow_share"].value <= 0.5 + 1e-12
    assert found["exponent"].value == pytest.approx(1.5)
    assert found["exponent"].reason == "fixed"
    assert found["unfitted_fraction"].low is not None


def test_prediction_of_the_fitted_run_is_the_fit():
    losses, _ = made(tasks=8, epochs=3)
    result = fit(losses, ONE, starts=2, intervals_by="none")
    assert np.allclose(result.predict().values, result.prediction.values, atol=1e-12)
    longer = result.predict(epochs=5)
    assert np.allclose(longer.values[: len(losses.values)], result.prediction.values, atol=1e-12)
    fewer = result.predict(documents=[0, 2, 3, 5])
    assert fewer.tasks == 4
    assert np.array_equal(fewer.order, cyclic_order(4, 3))
    assert np.allclose(fewer.values[0], result.prediction.values[0, [0, 2, 3, 5]])
    # Three times the steps leave u^3 of the residual of the document trained last.
    last = int(losses.order[-1, -1])
    assert result.predict(steps=3.0).values[-1, last] < result.prediction.values[-1, last]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"documents": [0, 0]}, "each once"),
        ({"documents": [0, 99]}, "each once"),
        ({"steps": 0.0}, "steps=0"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 3, "order": [[0, 1, 2, 3, 4, 5, 6, 7]]}, "one of them"),
        ({"order": [[0, 1, 2, 3, 4, 5, 6, 8]]}, "integers from 0 to 7"),
    ],
)
def test_predictions_that_cannot_be_are_refused(options, words):
    losses, _ = made(tasks=8, epochs=3)
    result = fit(losses, PLAIN, starts=1, intervals_by="none")
    with pytest.raises(InputError, match=words):
        result.predict(**options)


def _matrix(tasks=8, epochs=3, value=None):
    losses, _ = made(tasks=max(tasks, 2), epochs=epochs)
    return LossMatrix(np.full_like(losses.values, value), losses.order) if value is not None else losses


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: fit([]), "no loss matrix"),
        (lambda: fit(_matrix(epochs=1)), "1 epoch"),
        (lambda: fit(_matrix(value=3.0)), "all equal"),
        (lambda: fit(_matrix(tasks=2)), "2 documents"),
        (lambda: fit(_matrix(3, 2), Mechanism(channels=3, pairs=False, floor=True)), "21 losses for 26"),
        (lambda: fit(_matrix(), ONE, bounds={"slow_share": (0.5, 0.1)}), "the low end first"),
        (lambda: fit(_matrix(), ONE, bounds={"slow_shore": (0.1, 0.5)}), "'slow_share'"),
        (lambda: fit(_matrix(), ONE, bounds={"exponent": (1e6, 1e7)}), "values from"),
        (lambda: fit([_matrix(), _matrix(tasks=9)], ONE), "8 and 9 documents"),
        (lambda: fit([_matrix(), 2 * _matrix().values], ONE, shared=["slow_shares"]), "shared='slow_share'"),
        (lambda: fit([_matrix(), 2 * _matrix().values], ONE, shared="slow_shares"), "'slow_shares'"),
        (lambda: fit(_matrix(), ONE, starts=0), "starts=0"),
        (lambda: fit(_matrix(), ONE, intervals_by="guess"), "intervals_by='guess'"),
        (lambda: fit(_matrix(), ONE, observed=np.ones((3, 3), dtype=bool)), "observed of bool"),
        (lambda: fit(_matrix(), ONE, observed=np.zeros((25, 8), dtype=bool)), "all held out"),
        (lambda: fit([_matrix(), 2 * _matrix().values], ONE, observed=[np.ones((25, 8), bool)]), "1 masks"),
        (lambda: fit(_matrix(tasks=61, epochs=2), Mechanism()), "61 documents"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_refused_in_one_line(build, words):
    with pytest.raises(InputError, match=words) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_infinite_losses_and_wrong_shapes_never_become_a_loss_matrix():
    values = np.ones((9, 4))
    values[3, 2] = np.inf
    with pytest.raises(InputError, match="inf"):
        LossMatrix.from_values(values)
    with pytest.raises(InputError, match="rows"):
        LossMatrix.from_values(np.ones((10, 4)))


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda values: -values, "log-likelihoods"),
        (lambda values: values - values.max() / 2, "nothing was subtracted"),
        (lambda values: np.exp(-values), "rise most for the document that was just trained"),
        (lambda values: 100 * np.exp(-values), "of accuracies, 1 - values"),
    ],
)
def test_what_is_no_loss_is_refused(turn, words):
    losses, _ = made(tasks=6, epochs=4)
    with pytest.raises(InputError, match=words) as caught:
        fit(LossMatrix(turn(losses.values), losses.order), PLAIN)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("below", [0, 3])
def test_losses_below_zero_are_told(below):
    losses, _ = made(tasks=6, epochs=4)
    lower = LossMatrix(losses.values - np.sort(losses.values.ravel())[below], losses.order)
    told = find(fit(lower, PLAIN, starts=2, intervals_by="none")).failures
    found = [line.split(" are")[0] for line in told if line.startswith("losses")]
    assert found == (["losses: 3 of 150"] if below else [])


@pytest.mark.parametrize("whole", [True, False])
def test_losses_in_another_order_than_was_said_are_the_first_failure(whole):
    rng = np.random.default_rng(2)
    order = np.array([rng.permutation(10) for _ in range(4)])
    losses = simulated(PLAIN, truth(PLAIN, rng, 0.5), rng, tasks=10, order=order, deviation=0.0)
    told = find(fit(losses, PLAIN, starts=2, intervals_by="none"))
    assert not any(line.startswith("order") for line in told.failures)
    wrong = LossMatrix.from_values(losses.values if whole else losses.values[:, ::-1])
    untold = find(fit(wrong, PLAIN, starts=2, intervals_by="none"))
    assert untold.failures[0].startswith("order: the loss that falls most is not that")
    shown = np.diff(wrong.values, axis=0).argmin(1).reshape(-1, 10)
    assert np.array_equal(shown, order if whole else 9 - order)
    assert "np.diff(losses.values, axis=0).argmin(1)" in untold.failures[0]


def test_no_recorded_run_is_said_to_have_had_another_order():
    files = sorted((Path(__file__).parents[3] / "figures/recorded").rglob("*.npz"))
    assert len(files) > 200
    runs = [LossMatrix.load(file) for file in files]
    assert all(misplaced_epochs(run) == {1: [], -1: []} for run in runs)
    places = [trained_place(run) for run in runs]
    assert max(place for place in places if place is not None) < _NOT_TRAINED / 2


def test_one_run_given_twice_is_no_joint_fit():
    run = simulated(PLAIN, truth(PLAIN, np.random.default_rng(0)), np.random.default_rng(0), epochs=3)
    for again in (run, run.first_epochs(2)):
        with pytest.raises(InputError, match="runs 1 and 2 with the same losses.*leave out run 2"):
            fit([run, again], PLAIN)


def early(values):
    """The losses before training left out, as if those after the first episode were they."""
    return np.vstack([values[1:], values[-1:]])


def test_what_is_odd_about_losses_stands_where_the_fit_fails():
    rng = np.random.default_rng(1)
    values = simulated(PLAIN, truth(PLAIN, rng), rng, epochs=4, deviation=0.02).values

    def failures(*changed):
        return " | ".join(
            find(fit([LossMatrix.from_values(one) for one in changed], PLAIN, starts=1)).failures
        )

    still, twice, one = values.copy(), values.copy(), values.copy()
    still[:, 4], twice[:, 4], one[40, 7] = 3.0, values[:, 3], 99.0
    late = np.vstack([values[:31], values[30:-1]])
    assert "losses: " not in failures(values)
    assert "fit: it explains" not in failures(values)
    assert "fit: it explains" in failures(rng.uniform(1, 9, values.shape))
    assert "losses: of document 4 they never change" in failures(still)
    assert "losses: 1 of 15 documents have another's to the last digit" in failures(twice)
    assert "losses: one, 99 of document 7 in row 40" in failures(one)
    assert (
        "rows: in epochs 3, 4 the loss that falls most is that of the document trained an episode"
        in failures(late)
    )
    assert "run 2, losses: of document 4 they never change" in failures(values, still)
    assert "4 the loss that falls most is that of the document trained next" in failures(early(values))
    # Where it also recovers most just before it is trained, it rises most after that.
    run = Path(__file__).parents[3] / "figures/recorded/h100/pythia-1b-adam-seed0"
    with pytest.raises(InputError, match="stand an episode early.*np.vstack"):
        fit(early(LossMatrix.load(run).values), PLAIN)
