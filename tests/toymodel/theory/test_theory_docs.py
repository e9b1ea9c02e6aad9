"""docs/theory.md names real functions, and names one for every equation."""

import importlib
import re
from pathlib import Path

import pytest

import toymodel
from figures.panels.theory import PANELS

PAGE = Path(__file__).parents[3] / "docs" / "theory.md"
TEXT = PAGE.read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(toymodel(?:\.\w+)+)`", TEXT)))

MODULES = ["ring", "spectrum", "asymptote", "trajectories", "orders", "courses", "choosing"]


@pytest.mark.parametrize("name", NAMES)
def test_every_function_named_exists(name):
    found = toymodel
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    assert callable(found)
    assert found.__doc__


def test_every_equation_names_its_function():
    blocks = re.split(r"\$\$.+?\$\$", TEXT, flags=re.DOTALL)
    assert len(blocks) > 20
    for number, after in enumerate(blocks[1:], 1):
        # In the paragraph that follows, before the next equation.
        following = after.strip().split("\n\n")
        near = " ".join(following[:2])
        assert re.search(r"`toymodel\.\w+", near), f"equation {number}: {near[:80]}"


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_of_the_theory_is_in_the_page(module):
    public = importlib.import_module(f"toymodel.theory.{module}").__all__
    named = {name.split(".")[1] for name in NAMES}
    left = [name for name in public if name[0].islower() and name not in named]
    assert not left


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_cites_its_section(module):
    theory = importlib.import_module(f"toymodel.theory.{module}")
    functions = [name for name in theory.__all__ if name[0].islower()]
    assert not [name for name in functions if not re.search(r"[Ss]ection \d", getattr(theory, name).__doc__)]


@pytest.mark.parametrize("module", MODULES)
def test_sections_cited_in_docstrings_exist(module):
    source = Path(importlib.import_module(f"toymodel.theory.{module}").__file__).read_text(encoding="utf-8")
    sections = {int(n) for n in re.findall(r"^## (\d+)\.", TEXT, flags=re.MULTILINE)}
    cited = {int(n) for n in re.findall(r"section (\d+)\)?", source)}
    assert cited
    assert cited <= sections


def test_pictures_and_panels_exist():
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT)
    assert len(pictures) == 5
    for picture in pictures:
        assert (PAGE.parent / picture).read_bytes()[:4] == b"\x89PNG"
    mentioned = set(re.findall(r"[Pp]anel \(?([a-i])\b", TEXT))
    assert mentioned == set(PANELS)
