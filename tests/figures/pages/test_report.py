"""The report, read back with an HTML parser."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from bridge import Parameter
from figures import Comparison, write_report
from toymodel.measures.losses import LossMatrix
from toymodel.measures.recovery import recovery_scores

HOSTILE = '</td><script>alert("x")</script><img src="https://example.org/x.png">'
PICTURE = b"\x89PNG not really"


class Reader(HTMLParser):
    """Collects tags with attributes, table rows, and text by tag; checks that tags close in order."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.open, self.text = [], [], [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data
            if self.open[-1] in ("td", "th"):
                self.rows[-1][-1] += data


def bells(share):
    """Two documents that rise by 1 after training and recover `share` of it before the return."""
    values = np.array(
        [
            [5.0, 5.0, 5.0],
            [1.0, 5.0, 5.0],
            [2.0, 1.0, 5.0],
            [2.0 - share, 2.0, 1.0],
            [1.0, 2.0 - share, 2.0],
            [2.0, 1.0, 2.0 - share],
            [2.0 - share, 2.0, 1.0],
        ]
    )
    return LossMatrix.from_values(values)


def falling():
    return LossMatrix.from_values(9.0 - np.arange(7.0)[:, None] + np.zeros((7, 3)))


def make(**changes):
    fields = {
        "networks": [bells(0.25)],
        "toy": bells(0.5),
        "r2": 0.9531,
        "held_out": bells(0.4),
        "fitted_epochs": 1,
        "held_out_r2": 0.8124,
        "parameters": [
            Parameter("slow share", 0.31234, 0.29, 0.33),
            Parameter("unfitted", 0.05, reason="flat & free"),
        ],
        "nulls": {"last epoch repeated": -0.3, "continued": 0.891, "other": None},
        "facts": {"model": "tiny", "optimizer": "Adam", "lr": "3e-4"},
    }
    return Comparison(**(fields | changes))


@pytest.fixture
def report(tmp_path):
    def build(text="R2 <0.95> & more", **changes):
        path = tmp_path / "report.html"
        write_report(path, make(**changes), PICTURE, text)
        page = path.read_text(encoding="utf-8")
        return page, Reader(page)

    return build


def test_numbers_are_in_their_rows(report):
    _, read = report()
    assert ["1", "0.250", "0.500"] in read.rows
    assert ["Toy model", "all epochs, fitted to all", "0.953"] in read.rows
    assert ["Toy model", "later epochs, fitted to epoch 1", "0.812"] in read.rows
    assert ["Null: continued", "the same later epochs", "0.891"] in read.rows
    assert ["Null: other", "the same later epochs", "none"] in read.rows
    assert ["slow share", "0.3123", "0.29 to 0.33"] in read.rows
    assert ["unfitted", "0.05", "none: flat & free"] in read.rows
    assert ["optimizer", "Adam"] in read.rows
    assert read.text["pre"] == "R2 <0.95> & more"


def test_scores_over_seeds_and_scores_without_meaning(report):
    page, read = report(networks=[bells(0.25), bells(0.75)], toy=falling())
    reason = recovery_scores(falling())[0].reason
    assert ["1", "0.500 ± 0.354", f"no score ({reason})"] in read.rows
    assert "over 2 seeds" in page
    _, read = report(networks=[bells(0.25), falling()])
    assert read.rows[1][1] == f"0.250 (1 of 2 seeds; the others have no score: {reason})"
    _, read = report(networks=[falling()])
    assert read.rows[1][1] == f"no score ({reason})"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "A null does better than the toy model: “continued” (held-out R² 0.812 against 0.891)"),
        ({"held_out_r2": 0.95}, "better than its best null, “continued” (held-out R² 0.950 against 0.891)"),
        ({"held_out_r2": 0.891}, "does no better than the null “continued”"),
        ({"nulls": {"other": None}}, "there is no null beside it"),
        (
            {"held_out_r2": None, "held_out_reason": "too few epochs"},
            "There is no held-out R² (too few epochs)",
        ),
    ],
)
def test_the_nulls_are_judged_in_words(report, changes, said):
    page, _ = report(**changes)
    assert said in page


def test_the_file_needs_nothing_else(report):
    page, read = report()
    sources = [
        a[key] for _, a in read.tags for key in ("src", "href", "srcset", "action", "data") if key in a
    ]
    assert sources == ["data:image/png;base64," + base64.b64encode(PICTURE).decode()]
    assert not {"link", "script", "iframe", "object"} & {tag for tag, _ in read.tags}
    assert not re.search(r"https?:|url\(|@import", page)


def test_fit_for_phones_and_dark_rooms(report):
    page, read = report()
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in read.tags
    assert "prefers-color-scheme: dark" in page
    boxes = sum("box" in a.get("class", "").split() for _, a in read.tags)
    assert boxes == sum(tag in ("table", "figure", "pre") for tag, _ in read.tags) == 6
    assert ".box { overflow-x: auto" in page


def test_hostile_words_stay_words(report):
    page, read = report(
        text=f"</pre>{HOSTILE}",
        facts={"model": HOSTILE, HOSTILE: "$title"},
        parameters=[Parameter(HOSTILE, 1.0, reason=HOSTILE)],
        nulls={HOSTILE: 0.9},
    )
    assert "script" not in {tag for tag, _ in read.tags}
    assert sum(tag == "img" for tag, _ in read.tags) == 1
    assert [HOSTILE, "1", f"none: {HOSTILE}"] in read.rows
    assert [HOSTILE, "$title"] in read.rows
    assert read.text["pre"] == f"</pre>{HOSTILE}"
    assert page.count("<pre") == 1


def test_the_same_comparison_gives_the_same_file(report):
    assert report()[0] == report()[0]
