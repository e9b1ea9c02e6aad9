"""Which order was it: simulated logs of every kind, recorded runs, and a loader that began anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reawaken
from bridge.judge.order_evidence import (
    HYPOTHESES,
    _last_visits,
    order_evidence,
    power,
    read_log,
    simulated_log,
)
from llm import Run
from toymodel import InputError

RECORDED = "figures/recorded/h100/"


@settings(max_examples=30)
@given(st.integers(5, 9), st.integers(2, 4), st.integers(0, 40), st.integers(0, 8))
def test_last_visits_are_those_of_the_sequence(count, epochs, step, shift):
    steps = count * epochs
    before = _last_visits(steps, count, step, shift)
    seen = {}
    for time in range(steps):
        document = (time + (shift if time >= step else 0)) % count
        assert before[time] == seen.get(document, -1)
        seen[document] = time


@pytest.mark.parametrize("kind", HYPOTHESES)
def test_logs_of_every_kind_are_told(kind):
    told = []
    for seed in range(4):
        log, step, shift = simulated_log(kind, 25, 6, 0.85, seed=seed)
        found = order_evidence(log, 25)
        told.append(found.verdict)
        if kind == "displaced":
            assert abs(found.step - step) <= 3
            assert found.shift == shift
    # Reshuffled logs are told by the lack of anything, which takes longer to be sure of.
    assert told.count(kind) >= (3 if kind != "reshuffled" else 1), told
    assert set(told) <= {kind, "undecided"}


def test_without_a_trace_of_documents_nothing_is_claimed():
    log, _, _ = simulated_log("same order", 25, 3, 0.0, seed=3)
    assert order_evidence(log, 25).verdict in ("undecided", "reshuffled")


def test_recorded_runs():
    for name, verdict in (("pythia-1b-adam-seed0", "same order"), ("pythia-2.8b-sgd-seed0", "same order"),
                          ("smollm2-pretrained-adam1e-4-seed0", "same order")):  # fmt: skip
        assert order_evidence(Run.load(RECORDED + name).losses).likeliest == verdict
    reshuffled = order_evidence(Run.load(RECORDED + "pythia-1b-adam-reshuffled-seed0").losses)
    assert reshuffled.verdict != "same order"


def test_a_loader_that_begins_anew_when_resumed(tmp_path, capsys):
    rng = np.random.default_rng(5)
    document = np.concatenate([np.arange(68) % 20, np.arange(52) % 20])  # resumed at step 68
    log = np.exp(1 - np.arange(120) / 120 + 0.1 * rng.normal(size=20)[document] + 0.02 * rng.normal(size=120))
    found = order_evidence(log, 20)
    assert (found.verdict, found.step, found.shift, found.began_anew) == ("displaced", 68, 12, True)
    file = tmp_path / "log.txt"
    file.write_text("step loss\n" + "".join(f"{n} {v:.6f}\n" for n, v in enumerate(log)))
    np.testing.assert_allclose(read_log(file, 20), log, atol=1e-6)
    assert reawaken.main(["fit", str(file), "--which-order", "--epoch-length", "20"]) == 0
    shown = capsys.readouterr().out
    assert "verdict: displaced" in shown
    assert "from step 68 on (epoch 4): 12 documents skipped, or 8 gone back, to the first" in shown


def test_power_rises_with_the_correlation():
    found = power(12, 4, [0.2, 0.95], draws=5)
    assert set(found) == set(HYPOTHESES)
    assert found["same order"][1] > found["same order"][0]


@pytest.mark.parametrize(
    ("log", "documents", "says"),
    [(np.ones(50), None, "how many steps"), (np.ones(8), 5, "1 epochs"), (np.ones(12), 4, "documents"),
     (-np.ones(50), 10, "above 0"), (np.full(50, np.nan), 10, "above 0")],
)  # fmt: skip
def test_bad_input(log, documents, says):
    with pytest.raises(InputError, match=says) as error:
        order_evidence(log, documents)
    assert "\n" not in str(error.value)


def test_bad_logs(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("1.0\nnot a number\n")
    with pytest.raises(InputError, match="line 2"):
        read_log(file, 5)
    with pytest.raises(InputError, match="no log"):
        read_log(tmp_path / "none.txt", 5)
