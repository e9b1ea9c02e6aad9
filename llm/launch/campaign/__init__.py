"""The campaign of real Pythia runs: what to run on a GPU, in order of worth, within the time there is.

``python -m llm.launch.campaign`` needs nothing but what a run needs; ``reawaken llm campaign`` is the same.
Imports everything of `llm` but its commands.
"""

from llm.launch.campaign.folder import CampaignFolder
from llm.launch.campaign.plan import ENTRIES, Entry, Planned, as_preset, plan
from llm.launch.campaign.runner import Progress, run_campaign

__all__ = ["ENTRIES", "CampaignFolder", "Entry", "Planned", "Progress", "as_preset", "plan", "run_campaign"]
