"""A folder of images."""

import pytest

from tests.llm.pictures import write_folder


@pytest.fixture(scope="package")
def pictures(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))
