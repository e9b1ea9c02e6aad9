import numpy as np
import pytest

from bridge import (
    NULLS,
    Mechanism,
    carry_residuals,
    continuations,
    fit,
    forecast,
    forecast_jointly,
    held_out_documents,
    r_squared,
)
from bridge.judge.goodness import family, goodness, log_likelihood, noisy_recovery, residuals_by_lag, table
from bridge.judge.implications import implications, next_epoch
from bridge.judge.prior_predictive import features, prior_predictive_check
from tests.bridge.simulated import simulated, truth
from toymodel import (
    InputError,
    LossMatrix,
    cyclic_order,
    recovery_scores,
    ring_recovery,
    share_losses,
    transport,
)
from toymodel.measures.lag import lags

ONE = Mechanism(channels=1, nearness=False, pairs=False)


@pytest.fixture(scope="module")
def losses():
    rng = np.random.default_rng(11)
    return simulated(ONE, truth(ONE, rng, 0.3), rng, tasks=10, epochs=5, deviation=0.04)


@pytest.fixture(scope="module")
def fitted(losses):
    return fit(losses, ONE, starts=3)


def test_lags_count_visits_and_episodes_since():
    visits, since = lags(np.array([[1, 0], [1, 1]]))
    assert visits.tolist() == [[0, 0], [0, 1], [1, 1], [1, 2], [1, 3]]
    assert since.tolist() == [[0, 0], [1, 0], [0, 1], [1, 0], [2, 0]]


def test_every_null_fits_data_of_its_own_kind():
    order = cyclic_order(6, 4)
    scales = np.linspace(1, 2, 6)
    visits, since = lags(order)
    never = scales * share_losses(0.4, 0.0, order)
    rise = 1 - 0.7 * np.exp(-since / 3.0)
    exponential = scales * 0.8**visits * np.where(visits > 0, rise, 1.0)
    for build, values in zip(NULLS[:2], (never, exponential), strict=True):
        null = build(LossMatrix(values, order))
        assert r_squared(values, null.values) > 0.999, null.name
    smooth = NULLS[2](LossMatrix(exponential, order))
    assert r_squared(exponential, smooth.values) > 0.95
    # A node at each of the distinct lags 0, 1, 2, 3, 5 (or fewer) of 5 visits, and 6 scales up to one factor.
    knots = len(np.unique(np.round(np.geomspace(1, 6, 5) - 1)))
    assert smooth.parameters == 5 * knots + 6 - 1


def test_nulls_without_recovery_have_none():
    order = cyclic_order(8, 4)
    bell = LossMatrix(5 * share_losses(0.3, 0.3, order, variance_w=0.5), order)
    assert all(s.value > 0.05 for s in recovery_scores(bell))
    for build in NULLS[:2]:
        scores = recovery_scores(LossMatrix(build(bell).values, order))
        assert all(not s or s.value < 1e-6 for s in scores)


def test_continuations_go_on_as_their_names_say():
    order = cyclic_order(4, 5)
    visits, _ = lags(order)
    halving = LossMatrix(8.0 * 0.5**visits, order)
    known = halving.first_epochs(3)
    found = continuations(known, order[3:])
    truth_ = halving.values[13:]
    assert np.allclose(found["each entry continued geometrically"], truth_)
    assert np.allclose(found["last epoch repeated"][:4], known.values[-4:])
    assert np.allclose(found["last epoch repeated"][4:], known.values[-4:])
    step = known.values[-4:] - known.values[-8:-4]
    assert np.allclose(
        found["each entry continued linearly"][4:], np.maximum(known.values[-4:] + 2 * step, 0)
    )
    assert r_squared(truth_, found["smooth curve in lag continued"]) > 0.9


def test_a_forecast_never_sees_what_it_predicts(losses):
    spoiled = np.array(losses.values)
    spoiled[1 + 3 * 10 :] += np.linspace(0, 50, 20)[:, None]
    ref = forecast(losses, 2, ONE)
    comp = forecast(LossMatrix(spoiled, losses.order), 2, ONE)
    assert np.allclose(ref.prediction.values, comp.prediction.values)
    assert ref.r2 > 0.9
    assert ref.fitted_epochs == 3
    assert set(ref.nulls) == set(continuations(losses.first_epochs(3), losses.order[3:]))


def test_a_forecast_of_losses_that_are_missing_neither_fits_nor_judges_them(losses):
    observed = np.random.default_rng(0).random(losses.values.shape) > 0.2
    ref = forecast(losses, 2, ONE, observed)
    filled = LossMatrix(np.where(observed, losses.values, 3.0), losses.order)
    comp = forecast(filled, 2, ONE, observed)
    assert np.allclose(ref.prediction.values[0], comp.prediction.values[0], rtol=0.01)
    assert comp.r2_mechanism == pytest.approx(forecast(losses, 2, ONE).r2_mechanism, abs=0.05)
    assert comp.r2_mechanism > forecast(filled, 2, ONE).r2_mechanism + 0.1
    observed[1 + 3 * 10 :] = False
    assert forecast(losses, 2, ONE, observed).reason == "the held-out losses are all missing"


def test_residuals_that_come_again_are_carried_on():
    order = np.vstack([cyclic_order(4, 4), [[3, 2, 1, 0]]])
    rng = np.random.default_rng(3)
    model = LossMatrix(rng.uniform(5, 6, (21, 4)), order)
    pattern = rng.normal(size=(4, 4))
    values = np.array(model.values[:13])
    for epoch, size in enumerate((1.0, 0.8, 0.4)):
        values[1 + 4 * epoch : 5 + 4 * epoch] += size * pattern
    part, found = carry_residuals(LossMatrix(values, order[:3]), model)
    assert part == pytest.approx(0.5)
    assert np.allclose(found.values[13:17] - model.values[13:17], 0.2 * pattern)
    assert np.array_equal(found.values[17:], model.values[17:])  # another order: nothing to carry on
    assert np.array_equal(found.values[:13], model.values[:13])


def test_no_residuals_or_another_order_leave_nothing_to_carry(losses):
    none, found = carry_residuals(losses.first_epochs(3), losses)
    assert none == 0.0
    assert np.array_equal(found.values, np.maximum(losses.values, 0.0))
    shuffled = LossMatrix(losses.values, np.vstack([losses.order[:4], losses.order[:1, ::-1]]))
    part, _ = carry_residuals(shuffled, LossMatrix(shuffled.values + 1.0, shuffled.order))
    assert part == 0.0


def test_forecasts_say_what_the_mechanism_alone_predicts(losses):
    ahead = forecast(losses, 2, ONE)
    mechanism = fit(losses.first_epochs(3), ONE, intervals_by="none").predict(order=losses.order)
    assert ahead.r2_mechanism == pytest.approx(r_squared(losses.values[31:], mechanism.values[31:]))
    assert 0 <= ahead.carried <= 1


def test_runs_of_one_network_are_forecast_together():
    rng = np.random.default_rng(13)
    theta = truth(ONE, rng, 0.3)
    runs = [simulated(ONE, theta, rng, tasks=9, epochs=4, deviation=0.3) for _ in range(3)]
    jointly = forecast_jointly(runs, 1, ONE)
    alone = [forecast(run, 1, ONE) for run in runs]
    assert [f.fitted_epochs for f in jointly] == [3, 3, 3]
    assert np.mean([f.r2 for f in jointly]) > np.mean([f.r2 for f in alone]) - 0.02
    assert not np.allclose(jointly[0].prediction.values, jointly[1].prediction.values)


def test_a_forecast_that_cannot_be_says_why(losses):
    none = forecast(losses.first_epochs(3), 2, ONE)
    assert none.r2 is None
    assert "leave 1 to fit" in none.reason


def test_documents_that_were_never_seen_are_predicted_from_their_place(losses):
    assert held_out_documents(losses, ONE) > 0.8


def test_the_true_form_beats_the_nulls_by_every_criterion(losses):
    rows = {c.name: c for c in table(losses)}
    nulls = [c for name, c in rows.items() if name.startswith("null")]
    best = min(rows.values(), key=lambda c: c.bic)
    assert not best.name.startswith("null")
    assert best.bic == 0.0
    assert min(c.aic for c in rows.values()) == 0.0
    own = rows["+ power link"]
    assert all(own.bic < c.bic and own.r2 > c.r2 for c in nulls)
    assert own.bic < rows["constant shares, one scale"].bic


def test_the_family_grows_by_one_thing_at_a_time():
    forms = family(25)
    assert list(forms)[0] == "constant shares, one scale"
    assert list(forms.values())[-2] == Mechanism()
    assert "+ correlated documents" not in family(200)


def test_residuals_are_sorted_by_visit_and_lag(losses):
    guess = LossMatrix(np.zeros_like(losses.values), losses.order)
    mean, square = residuals_by_lag(losses, guess)
    assert mean.shape == (6, 10)
    assert mean[1, 0] == pytest.approx(np.mean([losses.values[1 + j, j] for j in range(10)]))
    assert (square[~np.isnan(mean)] >= np.abs(mean[~np.isnan(mean)]) - 1e-12).all()


def test_goodness_of_a_perfect_guess(losses, fitted):
    judged = goodness(fitted)
    assert judged.all == pytest.approx(fitted.r2)
    assert judged.shift_averaged > 0.98
    noisy = noisy_recovery(fitted)
    plain = recovery_scores(fitted.prediction)
    measured = recovery_scores(losses)
    # Noise raises the largest loss of an interval, so the score with noise is the nearer one.
    assert np.mean([n.value - p.value for n, p in zip(noisy, plain, strict=True)]) > 0
    assert np.median([abs(n.value - m.value) for n, m in zip(noisy, measured, strict=True)]) < 0.05


def test_priors_produce_the_mechanisms_own_and_not_what_it_cannot_be(losses):
    assert all(f.within for f in prior_predictive_check(losses, ONE))
    rising = LossMatrix(np.array(losses.values)[::-1], losses.order)
    assert not all(f.within for f in prior_predictive_check(rising, ONE))
    below = LossMatrix(losses.values - 5.0, losses.order)
    assert not all(f.within for f in prior_predictive_check(below, ONE))
    assert set(features(losses)) == {f.name for f in prior_predictive_check(losses, ONE)}


def test_implications_are_the_theory_at_the_fitted_shares(fitted):
    (channel,) = implications(fitted)
    (shares,) = fitted.shares(fitted.data.epochs - 1)
    assert (channel.slow, channel.fast) == shares
    assert channel.transport == pytest.approx(transport(*shares, 10))
    ref = ring_recovery(*shares, 10)
    assert ref
    assert channel.recovery.value == pytest.approx(ref.value, abs=1e-6)
    assert channel.radius < 1
    assert 0 <= next_epoch(fitted).value <= 1


@pytest.mark.parametrize("number", [0, -1])
def test_no_epochs_cannot_be_held_out(number):
    losses = LossMatrix.from_values(np.ones((16, 3)))
    with pytest.raises(InputError, match=rf"held_out={number}; .*Fix: held_out=2$"):
        forecast(losses, number)


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_losses_of_any_unit_are_judged_alike(scale):
    rng = np.random.default_rng(0)
    values, guess = 3 + rng.random((10, 3)), 3 + rng.random((10, 3))
    order = cyclic_order(3, 3)
    means, squares = residuals_by_lag(LossMatrix(values, order), LossMatrix(guess, order))
    scaled = residuals_by_lag(LossMatrix(values * scale, order), LossMatrix(guess * scale, order))
    np.testing.assert_allclose(scaled[0] / scale, means, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scaled[1] / scale, squares, rtol=1e-9)
    one, other = (log_likelihood((values - guess) * unit) for unit in (1.0, scale))
    assert other - one == pytest.approx(-values.size * np.log(scale), rel=1e-9)
