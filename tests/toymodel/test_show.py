"""Values in a notebook and in a line; the explorer from Python."""

import html
import webbrowser

import pytest

import toymodel as tm


@pytest.fixture
def losses():
    return tm.LossMatrix.from_values(tm.share_losses(0.3, 0.6, tm.cyclic_order(25, 5), variance_w=1.0))


def test_representations_are_short(losses):
    assert repr(losses) == "LossMatrix(25 tasks, 5 epochs, losses 0.00043 to 1)"
    run = tm.simulate(tm.random_tasks(5, 20), "identity", rate=0.01, epochs=1, record="w")
    assert len(repr(run)) < 250
    assert "with w" in repr(run)


def test_notebooks_show_picture_and_scores(losses):
    shown = losses._repr_html_()
    for score in tm.recovery_scores(losses):
        assert f"{score.value:.2f}" in shown
    assert shown.count("<img") == 1
    run = tm.simulate(tm.random_tasks(5, 20), "identity", rate=0.01, epochs=2)
    assert html.escape(run.status) in run._repr_html_()
    assert len(shown) < 20_000


def test_explore_writes_and_opens(losses, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    out = tmp_path / "explorer.html"
    assert tm.explore(losses, out=out) == out
    assert opened == [out.as_uri()]
    page = out.read_text()
    assert '"name": "run 1"' in page
    run = tm.simulate(tm.random_tasks(5, 20), "identity", rate=0.01, epochs=3)
    losses.save(tmp_path / "mine.npz")
    assert '"name": "mine.npz"' in tm.explore(run, tmp_path / "mine.npz", out=out, show=False).read_text()
    assert len(opened) == 1


def test_explore_refuses_what_is_no_run(tmp_path):
    with pytest.raises(tm.InputError, match="a list as a run"):
        tm.explore([[1.0, 2.0]], out=tmp_path / "a.html", show=False)
    assert not (tmp_path / "a.html").exists()


def test_explore_says_what_is_missing(monkeypatch):
    from toymodel import explorer

    monkeypatch.setattr(explorer, "_WHERE", "no_such_package.explorer")
    with pytest.raises(tm.InputError, match="no_such_package"):
        tm.explore(show=False)
