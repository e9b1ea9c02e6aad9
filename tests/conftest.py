"""Shared test set-up: one hypothesis profile for every property."""

import os

import matplotlib

matplotlib.use("Agg")
try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # as on a machine that was lent for its GPU: tests without properties run there
    pass
else:
    settings.register_profile(
        "reawaken", deadline=None, print_blob=True, max_examples=60,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    settings.register_profile("thorough", parent=settings.get_profile("reawaken"), max_examples=1000)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reawaken"))
