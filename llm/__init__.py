"""Cyclic training of real networks: documents, models, one training loop, resumable run folders.

Importing this package is cheap: torch and transformers load when a run starts. It may import `toymodel`.
"""

import llm.runs.notebook  # noqa: F401  (registers how notebooks show a run)
from llm.config import RunConfig
from llm.presets import PRESETS, Preset, family, preset
from llm.training.loop import Interrupted, Run, run

__all__ = ["PRESETS", "Interrupted", "Preset", "Run", "RunConfig", "family", "preset", "run"]
