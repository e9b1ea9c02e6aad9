"""A campaign of three tiny runs."""

import pytest

from llm.data.corpus import export_documents
from llm.launch.campaign import run_campaign
from tests.llm.launch.campaign.entries import TWO


@pytest.fixture(scope="package")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    return export_documents(folder / "documents.jsonl", 8)[0]


@pytest.fixture
def go(tmp_path, documents):
    def go(out=tmp_path / "out", **options):
        settings = {"device": "cpu", "documents": documents, "entries": TWO}
        return run_campaign(out, **settings | options)

    go.out = tmp_path / "out"
    return go
