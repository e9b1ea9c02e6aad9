"""The campaign's own command line, for machines that have little."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm.launch.campaign.command import main

ROOT = Path(__file__).parents[4]


def test_the_parser_of_machines_without_tyro(capsys, tmp_path):
    assert main(["list", "--only", "fig9", "larger", "--recorded", str(tmp_path / "none")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == [
        "fig9-410m-seed0",
        "fig2b-6.9b-seed0",
        "fig2b-12b-seed0",
    ]
    assert lines[-1] == "0 of 3 runs are done"
    assert main(["list", "--only", "fig99"]) == 2
    assert "Fix: --only fig9" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run"])
    assert "--out" in capsys.readouterr().err


BLOCKED = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {absent} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import runpy
sys.argv = ["campaign", *{argv}]
runpy.run_module("llm.launch.campaign", run_name="__main__")
"""


def test_runs_without_the_packages_that_a_gpu_machine_may_lack(tmp_path, documents):
    absent = (
        "datasets",
        "tyro",
        "lmfit",
        "xarray",
        "h5netcdf",
        "pandas",
        "pyarrow",
        "submitit",
        "torchvision",
        "xxhash",
        "gguf",
    )
    argv = ["rehearse", "--device", "cpu", "--out", str(tmp_path / "out"), "--documents", str(documents),
            "--only", "fig8", "fig9", "fig17"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(absent=absent, argv=argv)], cwd=ROOT, capture_output=True,
        text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 finished; 0 runs are left\n"
    versions = json.loads((tmp_path / "out" / "fig8-410m-seed0" / "manifest.json").read_text())["versions"]
    assert "torch" in versions
