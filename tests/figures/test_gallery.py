import importlib
from pathlib import Path

import pytest

from figures.commands import COMMANDS, figures
from figures.gallery import FIGURES, Entry, choose, render
from figures.style import figure_style, new_figure, pdf_bytes, png_bytes, save_figure
from reawaken import main
from toymodel import InputError


@pytest.fixture
def gallery(monkeypatch):
    """A registry with figures that need runs, as it will be when the network's figures are there."""
    known = {"8a": Entry("x", "", True), "8b": Entry("y", "", True), "10": Entry("figures.fig10", "")}
    monkeypatch.setattr("figures.gallery.FIGURES", known)


def plain():
    with figure_style():
        figure = new_figure(3, 2)
        figure.subplots().plot([1, 2, 0], label="μ")
    return figure


def test_every_figure_has_a_module_that_draws():
    for name, entry in FIGURES.items():
        assert callable(importlib.import_module(entry.module).draw), name
        assert entry.title


@pytest.mark.usefixtures("gallery")
def test_which_figures_a_name_means():
    assert choose([]) == ["10"]  # what needs runs is left out where there are none
    assert choose(["all"], Path()) == ["8a", "8b", "10"]
    assert choose(["8"], Path()) == ["8a", "8b"]
    assert choose(["10", "8b", "10"], Path()) == ["10", "8b"]
    with pytest.raises(InputError, match="--runs DIR"):
        choose(["8a"])
    with pytest.raises(InputError, match="reawaken figures 8"):
        choose(["8c"], Path())


def test_files_are_whole_and_the_same_every_time(tmp_path):
    for suffix, data in (("png", png_bytes), ("pdf", pdf_bytes)):
        assert data(plain()) == data(plain()), suffix
    written = save_figure(plain(), tmp_path / "new" / "one")
    assert [path.name for path in written] == ["one.png", "one.pdf"]
    assert written[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert written[1].read_bytes()[:5] == b"%PDF-"
    assert b"CreationDate" not in written[1].read_bytes()


def test_the_command_writes_what_was_asked_for(tmp_path, capsys):
    assert main(["figures", "11", "--out", str(tmp_path), "--formats", "png"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["fig11.png"]
    assert str(tmp_path / "fig11.png") in capsys.readouterr().out
    assert (tmp_path / "fig11.png").read_bytes() == png_bytes(render("11"))
    assert COMMANDS[""] is figures


@pytest.mark.parametrize(
    "options",
    [
        {"names": ("12x",)},
        {"formats": ("jpeg",)},
        {"runs": Path("no/such/folder")},
        {"out": Path(__file__)},
    ],
)
def test_bad_input(options, tmp_path, capsys):
    with pytest.raises(InputError, match="Fix:") as error:
        figures(**({"out": tmp_path} | options))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
