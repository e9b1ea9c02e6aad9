"""Compiled code that is damaged on disk is compiled again."""

import os
import subprocess
import sys

CODE = """
import numpy as np
from toymodel import share_losses, cyclic_order, simulate, random_tasks
print(repr(share_losses(0.3, 0.2, cyclic_order(3, 2), variance_q=1.0, variance_w=0.5).tolist()))
"""


def losses(cache):
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | {"NUMBA_CACHE_DIR": str(cache)}, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_truncated_file_is_dropped_and_said_once(tmp_path):
    first, said = losses(tmp_path)
    assert said == ""
    for suffix in (".nbi", ".nbc"):
        files = list(tmp_path.rglob(f"*{suffix}"))
        assert files
        for file in files:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        again, said = losses(tmp_path)
        assert again == first
        assert said.startswith("reawaken: compiled code on disk is damaged")
        assert said.count("\n") == 1
        assert losses(tmp_path) == (first, "")
