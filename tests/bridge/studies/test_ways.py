"""Ways in which losses might go on: the one that made them is told from the others."""

import pytest

from bridge.estimate.choice import FIVE
from bridge.studies.ways import QUESTIONS, main, study
from tests.bridge.simulated import made_by
from toymodel import InputError

VALUES = (0.6, 0.7, 0.3, -0.8, 3.0)


@pytest.fixture(scope="module")
def falling():
    return made_by(FIVE, VALUES)


def test_a_share_that_falls_with_visits_is_told_from_one_that_stays(falling):
    found = study(falling, QUESTIONS["drift"])
    assert found.numbers["share goes on falling"]["slow_drift"] == pytest.approx(-0.8, abs=0.05)
    assert found.r2["share goes on falling"] > 0.99
    assert found.r2["share goes on falling"] > found.r2["share stays"]


@pytest.mark.parametrize("made", ["by all documents", "by a part, uniform"])
def test_who_trains_a_direction_is_told(made):
    ways = QUESTIONS["sharing"]
    run = made_by(ways[made].form, (0.3, 0.5, 0.5, -0.1, 3.0))
    other = next(name for name in ways if name not in (made, "by a part, fitted"))
    ahead, whole = study(run, ways), study(run, ways, seen=run.epochs)
    assert ahead.r2[made] > max(0.99, ahead.r2[other])
    assert whole.r2[made] > max(0.999, whole.r2[other])
    assert whole.dips_off[made] < min(0.01, whole.dips_off[other])
    fraction = whole.numbers["by a part, fitted"]["shared_fraction"]
    assert fraction > 0.9 if made == "by all documents" else 0.4 < fraction < 0.6


@pytest.mark.parametrize(
    ("question", "more", "told"), [("drift", (), "-0.80"), ("sharing", ("--whole",), ", 0.000")]
)
def test_the_ways_are_told_and_drawn(falling, tmp_path, capsys, question, more, told):
    falling.save(tmp_path / "small-sgd.npz")
    main([question, "--runs", str(tmp_path), "--plot", str(tmp_path / "ways.png"), *more])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("small-sgd"))
    assert told in line
    assert (tmp_path / "ways.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="would not hold what its name says"):
        main([question, "--runs", str(tmp_path), "--plot", str(tmp_path / "ways.txt")])
