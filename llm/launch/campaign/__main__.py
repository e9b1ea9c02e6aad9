"""``python -m llm.campaign``."""

import sys

from llm.campaign.command import main

if __name__ == "__main__":
    sys.exit(main())
