"""Shared test set-up: one hypothesis profile for every property."""

import os

import matplotlib
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")
settings.register_profile(
    "reawaken", deadline=None, print_blob=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", parent=settings.get_profile("reawaken"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reawaken"))
