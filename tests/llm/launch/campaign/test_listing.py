"""The campaign as text."""

from pathlib import Path

import pytest

from llm.launch.campaign import ENTRIES, plan
from llm.launch.campaign.listing import states, update_document
from toymodel import InputError

ROOT = Path(__file__).parents[4]


def test_the_documented_table_is_the_plan(tmp_path):
    document = ROOT / "docs" / "gpu-campaign.md"
    copy = tmp_path / "copy.md"
    copy.write_text(document.read_text())
    recorded = ROOT / "figures" / "recorded"
    found = states(plan(), recorded / "campaign", recorded / "h100")
    assert not update_document(copy, found), "reawaken llm campaign document --file docs/gpu-campaign.md"
    # Seed 0 of the sizes and of Adam in both orders were run before there was a campaign.
    assert {name for name, state in found.items() if state.word == "done"} >= {
        "fig6-adam-seed0", "fig6-adam-reshuffled-seed0", "fig2b-1b-seed0", "fig2b-2.8b-seed0",
    }  # fmt: skip
    for entry in ENTRIES:
        for member in entry.members:
            assert f"`{member}`" in document.read_text()
    copy.write_text("no marks")
    with pytest.raises(InputError, match="runs: begin"):
        update_document(copy, found)
