"""Node to ask the page's modules, a browser to use the page, and the page itself."""

import pytest

from figures.explorer.commands import write_explorer
from tests.figures.explorer.browser import headless
from tests.figures.explorer.node import Node, node_program


@pytest.fixture(scope="session")
def node():
    asked = Node(node_program())
    yield asked
    asked.close()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory):
    return write_explorer(tmp_path_factory.mktemp("explorer") / "explorer.html")


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium."""
    with headless() as browser:
        yield browser
