import json

import matplotlib.image
import numpy as np
import pytest

from bridge import Mechanism, fit, forecast, report, to_json
from bridge.judge.goodness import table
from bridge.present.fit_page import write_html
from bridge.present.picture import plot
from reawaken import main
from tests.bridge.simulated import simulated, truth

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


def test_the_report_keeps_its_order(result, ahead):
    text = report(result, ahead)
    marks = [
        "Mechanism",
        "Fit ",
        "Noise",
        "R^2",
        "Held out",
        "Note",
        "parameter  ",
        "Correlations",
        "recovery score  ",
    ]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    for parameter in result.parameters:
        assert parameter.name in text
    assert "Held out" not in report(result)


def test_json_has_what_others_read(result, ahead):
    record = json.loads(json.dumps(to_json(result, ahead), allow_nan=False))
    assert {"mechanism", "parameters", "r2", "held_out_r2", "nulls", "recovery"} <= set(record)
    assert set(record["parameters"]) == set(ONE.names)
    for row in record["parameters"].values():
        assert (row["low"] is None) == (row["high"] is None) == bool(row["reason"])
    assert [s["epoch"] for s in record["recovery"]["network"]] == [1, 2, 3]
    assert len(record["recovery"]["toy"]) == len(record["recovery"]["toy_with_noise"]) == 3
    assert record["r2"] == pytest.approx(result.r2)
    assert to_json(result)["held_out_r2"] is None


def test_a_mechanism_worse_than_a_null_says_so(result, ahead):
    from dataclasses import replace

    beaten = replace(ahead, r2=0.1, nulls={"some curve": 0.9})
    assert "predicts less well than: some curve" in report(result, beaten)
    assert "predicts less well" not in report(result, replace(ahead, r2=0.99, nulls={"some curve": 0.9}))


def test_page_and_picture_are_whole(result, ahead, losses, tmp_path):
    write_html(tmp_path / "fit.html", result, ahead, table(losses)[:2])
    page = (tmp_path / "fit.html").read_text()
    assert page.count("<table>") == 2
    assert "data:image/png;base64," in page
    assert "http" not in page
    for parameter in result.parameters:
        assert f"<td>{parameter.name}</td>" in page.replace("<wbr>", "")
    plot(result, ahead).savefig(tmp_path / "fit.png")
    assert matplotlib.image.imread(tmp_path / "fit.png").std() > 0.05


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
    assert "Reach" in printed
    assert "predicted recovery score of one epoch more" in printed
    record = json.loads((out / "fit.json").read_text())
    assert record["runs"] == ["a.npz"]
    assert set(record["bootstrap"]) == set(ONE.names)
    assert record["implications"][0]["transport"] > 0
    assert {p.name for p in out.iterdir()} == {"fit.json", "fit.png", "fit.html"}


def test_the_command_fits_jointly(losses, tmp_path, capsys):
    for name in ("a.npz", "b.npz"):
        losses.save(tmp_path / name)
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
