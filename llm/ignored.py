"""Settings that would change nothing of a run: who gives one believes that it does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from llm.config import RunConfig
from toymodel.base.errors import refuse_ignored
from toymodel.base.words import arg

__all__ = ["refuse_ignored_settings"]


def refuse_ignored_settings(config: RunConfig) -> None:
    """Refuse a run that has not begun for what it would not look at; runs that were made so can be read.

    Raises:
        InputError: for the first such setting that is not its default.
    """
    plain = config.task == "language" and (config.documents == "embedded" or Path(config.documents).is_file())
    defaults = {field.name: field.default for field in dataclasses.fields(RunConfig)}
    for ignored, names, beside in (
        (config.schedule != "middle-shuffled", ("shuffle_until",), arg("schedule", config.schedule)),
        (config.schedule != "locally-reversed", ("reverse_block",), arg("schedule", config.schedule)),
        (not config.mask_probability, ("mask_up_to", "mask_token"), arg("mask_probability", 0)),
        (not config.window_shift, ("window",), arg("window_shift", 0)),
        (config.optimizer == "sgd", ("reset_optimizer",), arg("optimizer", "sgd")),
        (config.weights == "pretrained", ("init",), arg("weights", "pretrained")),
        (
            plain,
            ("documents_subset", "documents_revision", "documents_split"),
            arg("documents", config.documents),
        ),
    ):
        if ignored:
            refuse_ignored({name: getattr(config, name) for name in names}, defaults, beside)
