"""Fields hold what their annotations say, or are refused in one line."""

import numpy as np
import pytest

from llm import RunConfig
from tests.llm.given import refusal


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("epochs", "five", "epochs='five'; expected a whole number"), ("epochs", 2.0, "a whole number"),
        ("steps", True, "a whole number"), ("steps", 2**63, "below 2"), ("lr", "0.1", "a finite number"),
        ("lr", float("nan"), "a finite number"), ("probes", "pca", "a list, each entry one of gradients"),
        ("probes", 5, "a list"), ("probes", ("pcb",), "one of gradients"), ("width", "x", "or None"),
        ("model", None, "text"), ("dropout", 1, "True or False"), ("probe_documents", (0.5,), "a list"),
        ("task", 3, "one of language"), ("lr", 10**400, "expected a finite number"),
    ],
)  # fmt: skip
def test_what_no_field_may_hold(field, value, words):
    assert words in refusal(lambda: RunConfig(**{field: value}))


def test_a_number_too_long_to_be_written():
    assert "steps=(16610 bits)" in refusal(lambda: RunConfig(steps=10**5000))


def test_what_fits_is_taken():
    config = RunConfig(lr=np.float64(0.1), epochs=np.int64(3), probes=["pca"], probe_documents=[1, 0])
    assert (config.probes, config.probe_documents) == (("pca",), (1, 0))
    assert type(config.epochs) is int
    assert config == RunConfig(lr=0.1, epochs=3, probes=("pca",), probe_documents=(1, 0))
    assert config.id == RunConfig.from_json(config.to_json()).id
