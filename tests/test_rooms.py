"""The plan of the house: packages depend one way, nothing goes round in circles, rooms stay small."""

import ast
import graphlib
import types
from collections import Counter

import PIL.Image
import pytest

from tests.rooms import FILES, IMPORTS, PACKAGES, ROOT, room, rooms

MOST_MODULES, MOST_LINES = 12, 350
# The measures that networks share with the toy model, and what every package stands on.
SHARED = {"toymodel", "toymodel.base", "toymodel.measures"}


def circle(graph):
    """A circle of the graph as a line of names; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return " -> ".join(error.args[1])
    return ""


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not circle({"a": {"b", "c"}, "b": {"c"}})


def test_imports_are_found_wherever_they_are():
    every = {other for others in IMPORTS.values() for other in others}
    assert {"toymodel.base.errors", "toymodel.measures.losses", "llm.config"} <= every
    late = ast.parse(FILES["llm.commands"].read_text(encoding="utf-8"))
    assert any(isinstance(n, ast.ImportFrom) and n not in late.body for n in ast.walk(late))


def test_no_circle_of_modules():
    # A package's __init__ offers what its modules hold; modules import one another, not it.
    inner = {
        name: {other for other in others if FILES[other].name != "__init__.py"}
        for name, others in IMPORTS.items()
    }
    assert circle(inner) == ""


def test_no_circle_of_rooms():
    """Beside a package's rooms stand its configuration and its commands, one below and one above them all."""
    inner = {name: others - set(PACKAGES) for name, others in rooms().items() if name not in PACKAGES}
    assert circle(inner) == ""


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_depend_one_way(package):
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    wrong = {
        f"{name} imports {other}"
        for name in FILES
        if name.partition(".")[0] == package
        for other in IMPORTS[name]
        if other.partition(".")[0] in above
    }
    assert not wrong


def test_networks_take_only_measures_and_ground_from_the_toy_model():
    wrong = {
        f"{name} imports {other}"
        for name in FILES
        if name.startswith("llm.")
        for other in IMPORTS[name]
        if other.startswith("toymodel.") and room(other) not in SHARED
    }
    assert not wrong


@pytest.mark.parametrize("folder", sorted({room(name) for name in FILES}))
def test_every_room_says_what_lives_there_and_stays_small(folder):
    said = ast.get_docstring(ast.parse(FILES[folder].read_text(encoding="utf-8"))) or ""
    assert "import" in said.lower(), f"{folder} does not say what it may import"
    inside = [name for name in FILES if room(name) == folder]
    assert len(inside) <= MOST_MODULES, f"{folder} holds {len(inside)} modules"


BESIDE = [file for folder in ("tests", "benchmarks", "docs") for file in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize(
    "file", sorted([*FILES.values(), *BESIDE, ROOT / "reawaken.py"]), ids=lambda f: str(f.relative_to(ROOT))
)
def test_no_module_is_too_long(file):
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{file} has {lines} lines"


def test_rooms_of_tests_stay_small_and_mirror_the_packages():
    inside = Counter(file.parent for file in BESIDE if file.name != "__init__.py")
    assert max(inside.values()) <= MOST_MODULES, inside.most_common(1)
    for folder in inside:
        package, *rest = folder.relative_to(ROOT).parts[1:] or ("",)
        if package in PACKAGES:
            assert ROOT.joinpath(package, *rest).is_dir(), f"{folder} mirrors no room"


def test_the_picture_of_the_rooms_is_of_today():
    script = ROOT / "docs" / "draw_architecture.py"
    module = types.ModuleType("draw_architecture")
    module.__file__ = str(script)
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), module.__dict__)
    with PIL.Image.open(ROOT / "docs" / "architecture.png") as picture:
        assert picture.info["Description"] == module.fingerprint(), "python docs/draw_architecture.py"
