"""The plan of the house, read from its sources: modules, their imports, and the rooms they live in.

Imports inside functions and under TYPE_CHECKING count too: a late import hides a circle, it doesn't break it.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("toymodel", "llm", "bridge", "figures")


def modules():
    """Every module's file by its dotted name; a package is called as its folder."""
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for package in PACKAGES
        for file in sorted((ROOT / package).rglob("*.py"))
    }


FILES = modules()


def imported(name):
    """Modules of the project that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | (inside & set(FILES))
    return {other for other in found if other in FILES and other != name}


IMPORTS = {name: imported(name) for name in FILES}


def room(name):
    """The folder of a module, as a dotted name."""
    return name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]


def rooms():
    """Rooms by the rooms that their modules import; a package's own modules are the room of its name."""
    found = {room(name): set() for name in FILES if FILES[name].name != "__init__.py"}
    for name, others in IMPORTS.items():
        if FILES[name].name != "__init__.py":
            found[room(name)] |= {room(o) for o in others if FILES[o].name != "__init__.py"} - {room(name)}
    return found
