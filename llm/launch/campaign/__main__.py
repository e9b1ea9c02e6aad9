"""``python -m llm.launch.campaign``."""

import sys

from llm.launch.campaign.command import main

if __name__ == "__main__":
    sys.exit(main())
