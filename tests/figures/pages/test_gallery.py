import importlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from figures.catalogue import FIGURES, choose, panel, render
from figures.claims.claims import evaluate
from figures.claims.statements import CLAIMS
from figures.commands import COMMANDS, figures
from figures.evidence.collection import Runs
from figures.pages.gallery import write_gallery
from figures.style import figure_style, new_figure, pdf_bytes, png_bytes, save_figure
from reawaken import main
from tests.figures.runs import write_family
from toymodel import InputError


def plain():
    with figure_style():
        figure = new_figure(3, 2)
        figure.subplots().plot([1, 2, 0], label="μ")
    return figure


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name in ("fig5-steps", "fig6"):
        write_family(root, f"{name}-small")
    return root


def test_every_figure_has_something_that_draws_it():
    for name, entry in FIGURES.items():
        assert entry.title
        if entry.needs_runs:
            assert bool(panel(name).families) != (name == "own"), name
        else:
            assert callable(importlib.import_module(entry.module).draw), name


def test_which_figures_a_name_means():
    assert choose([]) == choose(["all"]) == list(FIGURES)
    assert choose(["8"]) == ["8a", "8b", "8c", "8d"]
    assert choose(["1"]) == ["1a", "1b"]
    assert choose(["10", "8b", "10"]) == ["10", "8b"]
    with pytest.raises(InputError, match="reawaken figures 8"):
        choose(["8x"])


def test_files_are_whole_and_the_same_every_time(tmp_path):
    for suffix, data in (("png", png_bytes), ("pdf", pdf_bytes)):
        assert data(plain()) == data(plain()), suffix
    written = save_figure(plain(), tmp_path / "new" / "one")
    assert [path.name for path in written] == ["one.png", "one.pdf"]
    assert written[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert written[1].read_bytes()[:5] == b"%PDF-"
    assert b"CreationDate" not in written[1].read_bytes()


def test_the_command_writes_what_was_asked_for(root, tmp_path, capsys):
    assert main(["figures", "5b", "11", "--runs", str(root), "--out", str(tmp_path)]) == 0
    names = {"fig5b.png", "fig5b.pdf", "fig5b.txt", "fig11.png", "fig11.pdf", "fig11.txt"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert str(tmp_path / "fig5b.pdf") in capsys.readouterr().out
    assert (tmp_path / "fig5b.png").read_bytes() == png_bytes(render("5b", Runs.load(root)))
    assert "nats per token" in (tmp_path / "fig5b.txt").read_text()
    assert COMMANDS[""] is figures


def test_all_figures_come_with_the_gallery_and_the_claims_as_data(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("figures.catalogue.render", lambda name, runs: plain())
    assert main(["figures", "all", "--runs", str(root), "--out", str(tmp_path), "--formats", "png"]) == 0
    assert {"gallery.html", "claims.json", "fig6.png"} <= {path.name for path in tmp_path.iterdir()}
    (claim,) = (
        one
        for one in json.loads((tmp_path / "claims.json").read_text())
        if (one["figure"], one["scale"]) == ("6", "small")
    )
    assert claim["claim"] == "Adam recovers more than gradient descent"
    assert claim["holds"] in (True, False)
    assert claim["seeds"] == 2
    assert "claims.json" in capsys.readouterr().out


def test_missing_runs_are_named_and_the_others_drawn(root, tmp_path, capsys):
    assert main(["figures", "12", "6", "--runs", str(root), "--out", str(tmp_path), "--formats", "png"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"fig6.png", "fig6.txt"}
    assert "reawaken llm sweep --presets fig12 --seeds 0 1 2 --out runs" in capsys.readouterr().out
    # Nothing to draw at all is an error.
    assert main(["figures", "12", "--runs", str(root), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "presets fig12" in said.err
    assert "presets fig12" not in said.out


@pytest.mark.parametrize(
    "options",
    [
        {"names": ("12x",)},
        {"formats": ("jpeg",)},
        {"runs": Path("no/such/folder")},
        {"out": Path(__file__)},
    ],
)
def test_bad_input(options, tmp_path):
    with pytest.raises(InputError, match="Fix:") as error:
        figures(**({"names": ("11",), "out": tmp_path} | options))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


class Page(HTMLParser):
    """What a page holds, and whether its tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.words = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "gallery.html"
    runs = Runs.load(root)
    write_gallery(path, runs, {"5b": png_bytes(plain())}, evaluate(runs))
    return path.read_text()


def test_the_gallery_is_whole_and_needs_nothing_but_itself(page):
    found = Page(page)
    assert not found.open
    assert set(FIGURES) <= set(found.ids)
    assert {link[1:] for link in found.links} <= set(found.ids)
    assert found.sources
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    assert not re.search(r"<script|@import|url\(|https?://", page)
    assert 'name="viewport"' in page


def test_the_gallery_says_what_was_found(page):
    words = " ".join(" ".join(Page(page).words).split())
    for entry in FIGURES.values():
        assert entry.found in words
    for claim in CLAIMS:
        assert claim.statement in words
    assert "not the paper's" in words
    for scale in ("Small networks", "Pythia's sizes", "Pretrained"):
        counts = re.search(rf"{scale}: (\d+) hold, (\d+) do not, (\d+) cannot be tested", words)
        assert sum(map(int, counts.groups())) == len(CLAIMS)
    assert "reawaken llm sweep --presets fig12 --seeds 0 1 2 --out runs" in words


def test_the_gallerys_scores_are_computed(page, root):
    words = " ".join(" ".join(Page(page).words).split())
    told = re.search(r"Recovery scores in the last epoch, small networks: M = 1 (\d\.\d\d) ± ", words)
    label, values = panel("5b").scores(Runs.load(root).family("fig5-steps", "small"))[0]
    assert label == "M = 1"
    assert float(told[1]) == pytest.approx(sum(values) / len(values), abs=0.005)
