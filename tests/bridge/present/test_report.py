import html
import json
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import Mechanism, find, fit, forecast, report, to_json
from bridge.estimate.choice import FOUR
from bridge.judge.ahead import epochs_ahead
from bridge.judge.goodness import table
from bridge.judge.prior_predictive import Feature
from bridge.present.fit_page import write_html
from bridge.present.picture import plot
from bridge.present.record import plain
from reawaken import main
from tests.bridge.simulated import simulated, truth
from toymodel import LossMatrix

ONE = Mechanism(channels=1, nearness=False, pairs=False)


@pytest.fixture(scope="module")
def losses():
    rng = np.random.default_rng(21)
    return simulated(ONE, truth(ONE, rng, 0.3), rng, tasks=8, epochs=4, deviation=0.1)


@pytest.fixture(scope="module")
def result(losses):
    return fit(losses, ONE, starts=2)


@pytest.fixture(scope="module")
def ahead(losses):
    return forecast(losses, 2, ONE)


def test_the_first_screen_is_the_answer(result, ahead):
    text = report(result, ahead)
    marks = ["Fitted", "Form ", "Why ", "parameter ", "Explained", "held out", "best null", "Recovery score",
             "Follows", "Fails", "How "]  # fmt: skip
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert text.count("\n", 0, text.index("How ")) < 40
    assert max(map(len, text.splitlines())) <= 120
    for parameter in result.parameters:
        assert parameter.name in text
    assert "held out" not in report(result)


def test_flat_directions_are_one_line_and_their_names_in_the_record():
    form = Mechanism(channels=2, nearness=True, pairs=False)
    rng = np.random.default_rng(3)
    flat = fit(simulated(ONE, truth(ONE, rng, 0.3), rng, tasks=8, epochs=3, deviation=0.3), form, starts=1)
    assert len(flat.flat_directions) > 1
    found = find(flat)
    lines = [line for line in report(found).splitlines() if "less than the priors" in line]
    assert len(lines) == 1
    assert to_json(found)["flat_directions"] == list(flat.flat_directions)


def test_everything_is_computed_once(result, ahead, monkeypatch):
    found = find(result, ahead)
    for name in ("noisy_recovery", "recovery_scores", "implications", "lag_curves"):
        monkeypatch.setattr(f"bridge.judge.findings.{name}", lambda *a, **k: pytest.fail("computed again"))
    report(found)
    record = to_json(found)
    assert [s["value"] for s in record["recovery"]["toy_with_noise"]] == [
        r.toy_with_noise.value for r in found.recovery
    ]
    assert plot(found).axes[3].get_lines()[2].get_ydata().tolist() == [
        r.toy_with_noise.value for r in found.recovery
    ]


def test_json_has_what_others_read(result, ahead):
    record = json.loads(json.dumps(to_json(result, ahead), allow_nan=False))
    assert {"mechanism", "parameters", "r2", "held_out_r2", "nulls", "recovery"} <= set(record)
    assert set(record["parameters"]) == set(ONE.names)
    for row in record["parameters"].values():
        assert (row["low"] is None) == (row["high"] is None) == bool(row["reason"])
    assert [s["epoch"] for s in record["recovery"]["network"]] == [1, 2, 3]
    assert len(record["recovery"]["toy"]) == len(record["recovery"]["toy_with_noise"]) == 3
    assert record["r2"] == pytest.approx(result.r2)
    assert len(record["nulls"]) == 6
    assert to_json(result)["held_out_r2"] is None


@pytest.mark.parametrize("unit", [1e-300, 1e-20, 1e100, 1e160, 1e300])
def test_losses_of_any_size_make_a_report_a_record_and_a_picture_without_nan(losses, unit):
    huge = LossMatrix(losses.values * unit, losses.order)
    result = fit(huge, ONE, starts=1)
    found = find(result, forecast(huge, 2, ONE), epochs_ahead=epochs_ahead(result, 1, draws=10))
    record = to_json(found)
    json.dumps(record, allow_nan=False)
    assert record["r2"] == pytest.approx(fit(losses, ONE, starts=1).r2, abs=1e-6)
    assert all(row["low"] is not None or row["reason"] for row in record["parameters"].values())
    assert "nan" not in report(found)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_plain_values_are_json(value):
    numbers = {"array": np.array([np.nan, np.inf, 1.0]), "scalar": np.float64(2.0)}
    json.dumps(plain(numbers | {"value": value}), allow_nan=False)


def test_a_mechanism_worse_than_a_null_says_so(result, ahead):
    beaten = replace(ahead, r2=0.1, nulls={"some curve": 0.9})
    assert "predicted less well than by: some curve" in report(result, beaten)
    assert "predicted less well" not in report(result, replace(ahead, r2=0.99, nulls={"some curve": 0.9}))


def test_features_outside_the_priors_are_told_from_their_ends():
    feature = Feature("a thing", 0.11749, 0.1175, 0.9)
    assert not feature.within
    assert str(feature) == "a thing is 0.11749; the priors give 0.1175 to 0.9"


def test_page_says_what_the_terminal_says(result, ahead, losses, tmp_path):
    found = find(result, ahead, candidates=tuple(table(losses)[:2]))
    write_html(tmp_path / "fit.html", found)
    page = (tmp_path / "fit.html").read_text()
    assert page.count("<table>") == 2
    assert "data:image/png;base64," in page
    assert "http" not in page
    assert html.escape(report(found)) in page
    for parameter in result.parameters:
        assert f"<td>{parameter.name}</td>" in page.replace("<wbr>", "")


def test_pictures_have_measured_losses_to_the_right(result, ahead, tmp_path):
    figure = plot(find(result, ahead))
    (points,) = [line for axes in figure.axes for line in axes.get_lines() if len(line.get_xdata()) > 50]
    first = 1 + ahead.fitted_epochs * result.data.tasks
    assert np.array_equal(points.get_xdata(), result.data.values[first:].ravel())
    assert np.array_equal(points.get_ydata(), ahead.prediction.values[first:].ravel())
    assert points.axes.get_xlabel() == "measured loss"
    figure.savefig(tmp_path / "fit.png")
    assert matplotlib.image.imread(tmp_path / "fit.png").std() > 0.05


def test_curves_are_drawn_network_and_toy_on_each_other(result):
    found = find(result)
    lines = plot(found).axes[0].get_lines()
    assert len(lines) == 2 * result.data.epochs
    for n, (network, toy) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        lag = network.get_xdata()
        assert np.array_equal(network.get_ydata(), found.curves.mean[n][lag])
        assert np.array_equal(toy.get_ydata(), found.toy_curves.mean[n][lag])
        assert network.get_color() is not None


def test_the_command_fits_reports_and_writes(losses, tmp_path, capsys):
    losses.save(tmp_path / "a.npz")
    out = tmp_path / "out"
    flags = [
        "--channels",
        "1",
        "--nearness",
        "False",
        "--pairs",
        "False",
        "--starts",
        "2",
        "--bootstrap",
        "3",
        "--documents",
    ]
    assert main(["fit", str(tmp_path / "a.npz"), *flags, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "one epoch more would score" in printed
    record = json.loads((out / "fit.json").read_text())
    assert record["runs"] == ["a.npz"]
    assert set(record["bootstrap"]) == set(FOUR.names)
    assert record["implications"][0]["transport"] > 0
    assert {p.name for p in out.iterdir()} == {"fit.json", "fit.png", "fit.html"}


def test_the_command_fits_jointly(losses, tmp_path, capsys):
    for name, steps in (("a.npz", 10), ("b.npz", 20)):
        meta = {"config": {"steps": steps, "lr": 0.1}}
        LossMatrix(losses.values * steps, losses.order, meta).save(tmp_path / name)
    files = [str(tmp_path / name) for name in ("a.npz", "b.npz")]
    flags = [
        "--channels",
        "1",
        "--nearness",
        "False",
        "--pairs",
        "False",
        "--starts",
        "2",
        "--shared",
        "slow_share",
    ]
    assert main(["fit", *files, *flags]) == 0
    printed = capsys.readouterr().out
    assert "2 runs jointly" in printed
    assert "unfitted_fraction[2]" in printed
    assert "slow_share[" not in printed
    assert "Note        the runs differ in steps (10, 20)" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no run to fit"),
        (["missing.npz"], "missing.npz"),
        (["a.npz", "--bootstrap", "-1"], "--bootstrap -1"),
        (["a.npz", "--shared", "slow_shore"], "--shared slow_share"),
        (["a.npz", "--out", "a.npz"], "is a file"),
    ],
)
def test_the_command_refuses_in_one_line(losses, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    losses.save(tmp_path / "a.npz")
    assert main(["fit", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
