"""A sequence that began anew, found without knowing of epochs."""

import numpy as np
import pytest

import reawaken
from bridge.orders.replay import replay_evidence
from toymodel import InputError


def batches(steps, resumed, correlation, seed=0):
    """Losses of batches that are all new until the run is resumed, which draws the first ones again."""
    rng = np.random.default_rng(seed)
    batch = np.arange(steps)
    if resumed:
        batch = np.where(batch >= resumed, batch - resumed, batch)
    rest = np.sqrt(correlation) * rng.normal(size=steps)[batch]
    rest += np.sqrt(1 - correlation) * rng.normal(size=steps)
    return np.exp(1 + 2.4 * np.exp(-np.arange(steps) / 200) + 0.05 * rest)


@pytest.mark.parametrize(
    ("steps", "resumed", "correlation"), [(300, 120, 0.7), (600, 200, 0.7), (300, 260, 0.9)]
)
def test_the_step_of_resuming_is_found(steps, resumed, correlation):
    found = [replay_evidence(batches(steps, resumed, correlation, seed)) for seed in range(10)]
    assert sum(one.verdict == "began anew" for one in found) >= 9
    assert sum(one.step == resumed for one in found) >= 9


def test_new_batches_are_not_called_old():
    found = [replay_evidence(batches(400, 0, 0.7, seed)).verdict for seed in range(30)]
    assert found.count("began anew") <= 1


def test_the_evidence_at_a_step_is_that_of_its_pairs():
    from scipy.stats import multivariate_normal

    from bridge.orders.pairs import restarted_sums

    rest = np.random.default_rng(3).normal(size=12)
    sums = restarted_sums(rest, 3)
    values, _ = sums.average()
    for n, step in enumerate(range(3, 10)):
        both = [(rest[t - step], rest[t]) for t in range(step, min(2 * step, 12))]
        assert len(both) == sums.pairs[n]
        each = [
            np.prod([
                multivariate_normal([0, 0], [[1, rho], [rho, 1]]).pdf(pair)
                / multivariate_normal([0, 0], np.eye(2)).pdf(pair)
                for pair in both
            ])
            for rho in np.linspace(0.1, 0.98, 45)
        ]  # fmt: skip
        assert values[n] == pytest.approx(np.log(np.mean(each)), abs=1e-9)


def test_the_command_without_epochs(tmp_path, capsys):
    file = tmp_path / "train.log"
    lines = [f"iter {n}: loss {v:.4f}, time 12.3ms" for n, v in enumerate(batches(300, 120, 0.9))]
    lines.insert(100, "step 100: train loss 2.0000, val loss 2.1000")
    file.write_text("\n".join(lines))
    assert reawaken.main(["fit", str(file), "--which-order"]) == 0
    shown = capsys.readouterr()
    assert "300 losses, from what follows 'loss' on 300 of 301 lines" in shown.out
    assert "verdict: began anew" in shown.out
    assert "most likely at step 120" in shown.out
    assert not shown.err


@pytest.mark.parametrize(
    ("log", "says"),
    [(np.ones(20), "62 losses or more"), (np.full(100, 2.0), "smooth curve"), (np.zeros(100), "above 0"),
     (np.exp(-np.linspace(0, 1, 100)), "smooth curve"), (np.ones((10, 10)), "shape")],
)  # fmt: skip
def test_bad_input(log, says):
    with pytest.raises(InputError, match=says):
        replay_evidence(log)
