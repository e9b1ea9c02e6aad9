"""`reawaken explore`."""

import json
import re

import pytest

import reawaken
from bridge import fit
from figures.evidence.collection import RECORDED
from figures.explorer.commands import write_explorer
from figures.explorer.shown import numbers_of
from toymodel import LossMatrix, cyclic_order, share_losses


@pytest.fixture
def losses(tmp_path):
    path = tmp_path / "mine.npz"
    order = cyclic_order(5, 3)
    LossMatrix(4 * share_losses(0.3, 0.5, order, variance_w=0.5), order).save(path)
    return path


def runs_of(page):
    return json.loads(re.search(r'id="runs">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def test_a_run_of_ones_own_comes_first_and_is_shown(tmp_path, losses, capsys):
    out = tmp_path / "sub" / "explorer.html"
    assert reawaken.main(["explore", "--run", str(losses), "--out", str(out)]) == 0
    assert "wrote" in capsys.readouterr().out
    first, *others = runs_of(out)
    assert first["name"] == "mine.npz"
    assert {"pythia-1b-adam-seed0", "fig1-small"} <= {run["id"] for run in others}
    assert 'data-state="#run=mine.npz"' in out.read_text()
    assert first["fit"] == pytest.approx(numbers_of(fit(LossMatrix.load(losses), intervals_by="none")))


def test_runs_of_one_name_are_told_apart(tmp_path, losses):
    out = tmp_path / "explorer.html"
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.npz").write_bytes(losses.read_bytes())
    (tmp_path / "a" / "losses.npz").write_bytes(losses.read_bytes())
    recorded = RECORDED / "h100" / "pythia-1b-adam-seed0"
    given = [
        tmp_path / "a" / "mine.npz",
        tmp_path / "b" / "mine.npz",
        tmp_path / "a" / "losses.npz",
        recorded,
    ]
    assert reawaken.main(["explore", "--run", *map(str, given), "--out", str(out)]) == 0
    names = [run["name"] for run in runs_of(out)]
    assert names[:4] == ["mine.npz", "mine.npz (2)", "a", "pythia-1b-adam-seed0"]
    ids = [run["id"] for run in runs_of(out)]
    assert len(set(ids)) == len(ids)


def test_places_that_are_no_page_are_refused(tmp_path, capsys):
    assert reawaken.main(["explore", "--out", str(tmp_path)]) == 2
    assert "a name that ends in .html" in capsys.readouterr().err
    assert reawaken.main(["explore", "--out", str(tmp_path / "a.pdf")]) == 2
    assert not (tmp_path / "a.pdf").exists()


def test_a_run_that_is_not_there_leaves_nothing(tmp_path, capsys):
    out = tmp_path / "explorer.html"
    assert reawaken.main(["explore", "--run", str(tmp_path / "no"), "--out", str(out)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not out.exists()


def test_written_twice_it_is_the_same(tmp_path):
    one, two = (write_explorer(tmp_path / f"{n}.html") for n in "ab")
    assert one.read_bytes() == two.read_bytes()
