"""Which order was it: simulated logs of every kind, recorded runs, a loader that began anew, an oracle."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reawaken
from bridge.orders.evidence import HYPOTHESES, order_evidence
from bridge.orders.power import simulated_log
from llm import Run
from tests.oracles import order_log_likelihood
from toymodel import InputError

RECORDED = "figures/recorded/h100/"


@settings(max_examples=30)
@given(st.integers(5, 8), st.integers(2, 4), st.integers(0, 2**16), st.sampled_from(HYPOTHESES))
def test_evidence_is_that_of_every_pair_by_itself(count, epochs, seed, kind):
    log, _, _ = simulated_log(kind, count, epochs, 0.8, seed=seed)
    found = order_evidence(log, count)
    assert found.log10["reshuffled"] == 0
    same = order_log_likelihood(log, count, 0, 0)
    assert found.log10["same order"] == pytest.approx(same / np.log(10), abs=1e-9)
    places = [(step, shift) for step in range(count, len(log) - 2) for shift in range(1, count)]
    every = np.array([order_log_likelihood(log, count, *place) for place in places])
    assert found.log10["displaced"] == pytest.approx(np.log10(np.exp(every).mean()), abs=1e-9)
    assert order_log_likelihood(log, count, found.step, found.shift) == pytest.approx(every.max(), abs=1e-9)


def test_places_count_alike_however_many_are_tried_at_a_time(monkeypatch):
    log, _, _ = simulated_log("displaced", 8, 5, 0.6, seed=1)
    whole = order_evidence(log, 8)
    monkeypatch.setattr("bridge.orders.evidence._BLOCK", 8 * 7)  # 30 places: the last block is a small one
    parts = order_evidence(log, 8)
    assert parts.log10 == pytest.approx(whole.log10, abs=1e-9)
    assert (parts.step, parts.shift, parts.correlation) == (whole.step, whole.shift, whole.correlation)


@pytest.mark.parametrize("kind", HYPOTHESES)
def test_logs_of_every_kind_are_told(kind):
    told = []
    for seed in range(12):
        log, step, shift = simulated_log(kind, 25, 6, 0.85, seed=seed)
        found = order_evidence(log, 25)
        told.append(found.verdict)
        if kind == "displaced":
            assert abs(found.step - step) <= 3
            assert found.shift == shift
    # Reshuffled logs are told by the lack of anything, which takes longer to be sure of.
    assert told.count(kind) >= (8 if kind != "reshuffled" else 3), told
    assert set(told) <= {kind, "undecided"}


def test_without_a_trace_of_documents_nothing_is_claimed():
    told = [
        order_evidence(simulated_log("same order", 25, 3, 0.0, seed=seed)[0], 25).verdict
        for seed in range(20)
    ]
    assert told.count("same order") + told.count("displaced") <= 1


@given(st.floats(0.1, 1e6), st.floats(0.2, 5.0))
@settings(max_examples=20)
def test_the_unit_of_the_losses_and_their_spread_do_not_matter(unit, power):
    log, _, _ = simulated_log("same order", 8, 3, 0.7, seed=1)
    one, other = order_evidence(log, 8), order_evidence(unit * log**power, 8)
    assert other.log10["same order"] == pytest.approx(one.log10["same order"], abs=1e-6)
    assert (other.step, other.shift) == (one.step, one.shift)


def test_recorded_runs():
    losses = Run.load(RECORDED + "pythia-1b-adam-seed0").losses
    assert order_evidence(losses).verdict == "same order"
    with pytest.raises(InputError, match="a run of 25 documents"):
        order_evidence(losses, 24)
    # Its order is not looked at: only that of the losses.
    hidden = dataclasses.replace(losses, values=losses.values, order=losses.order[:, ::-1])
    assert order_evidence(hidden).log10 != order_evidence(losses).log10
    reshuffled = order_evidence(Run.load(RECORDED + "pythia-1b-adam-reshuffled-seed0").losses)
    assert reshuffled.verdict != "same order"


def resumed(seed=5):
    """120 losses of 20 documents in turn, resumed at step 68 with the first."""
    rng = np.random.default_rng(seed)
    document = np.concatenate([np.arange(68) % 20, np.arange(52) % 20])
    return np.exp(
        1 - np.arange(120) / 120 + 0.1 * rng.normal(size=20)[document] + 0.02 * rng.normal(size=120)
    )


def test_a_loader_that_begins_anew_when_resumed(tmp_path, capsys):
    log = resumed()
    found = order_evidence(log, 20)
    assert (found.verdict, found.step, found.shift, found.began_anew) == ("displaced", 68, 12, True)
    file = tmp_path / "log.txt"
    file.write_text("step loss\n" + "".join(f"{n} {v:.6f}\n" for n, v in enumerate(log)))
    assert reawaken.main(["fit", str(file), "--which-order", "--epoch-length", "20"]) == 0
    shown = capsys.readouterr()
    assert "120 losses, from column 'loss'" in shown.out
    assert "verdict: displaced" in shown.out
    assert "from step 68 on (epoch 4): 12 documents skipped, or 8 gone back, to the first" in shown.out
    assert not shown.err
    assert reawaken.main(["fit", str(file), "--which-order", "--epoch-length", "50"]) == 0
    assert "the last 20 are no whole epoch and left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("log", "documents", "says"),
    [(np.arange(1.0, 51), None, "how many steps"), (np.ones(8), 5, "1 whole epoch of 5"),
     (np.ones(12), 4, "epochs of 4 documents"), (np.ones(12), 0, "epochs of 0"),
     (-np.ones(50), 10, "above 0"), (np.full(50, np.nan), 10, "a loss of nan at step 0"),
     (np.full(50, 2.0), 10, "losses of epoch 1 that lie on a smooth curve"),
     (np.exp(-np.linspace(0, 1, 50)), 10, "smooth curve")],
)  # fmt: skip
def test_bad_input(log, documents, says):
    with pytest.raises(InputError, match=says) as error:
        order_evidence(log, documents)
    assert "\n" not in str(error.value)


def test_flags_that_do_nothing_here_are_refused(tmp_path, capsys):
    file = tmp_path / "log.txt"
    file.write_text("\n".join(map(str, resumed())))
    for flags, says in (
        (["--which-order", "--epoch-length", "0"], "--epoch-length 0"),
        (["--epoch-length", "20"], "without --which-order"),
        (["--which-order", "--out", str(tmp_path / "out")], "/out changes nothing with --which-order"),
        (["--which-order", "--bootstrap", "4"], "--bootstrap 4 changes nothing with --which-order"),
    ):
        assert reawaken.main(["fit", str(file), *flags]) == 2
        shown = capsys.readouterr()
        assert says in shown.err
        assert shown.err.count("\n") == 1
        assert not shown.out
    assert sorted(tmp_path.iterdir()) == [file]
