"""The page's modules, run by Node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

WEB_TESTS = Path(__file__).with_name("web")


class Node:
    """The page's modules, asked from Python: ``node("losses", tasks=25, ...)``."""

    def __init__(self, program):
        self._process = subprocess.Popen(
            [program, str(WEB_TESTS / "answer.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, ask, **given):
        print(json.dumps({"ask": ask, **given}), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, f"node answers nothing to {ask}"
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


def node_program():
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed: apt-get install nodejs")
    return program
