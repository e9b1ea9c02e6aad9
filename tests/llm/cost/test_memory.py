"""Memory that a run frees is there when it is wanted again."""

import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource, sys
from llm.cost.memory import large_pages

if sys.argv[1] == "kept":
    large_pages()
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def work():  # 21 MB in pieces, as the tensors of an evaluation
    pieces = [malloc(1 << 21) for _ in range(10)]
    for piece in pieces:
        ctypes.memset(piece, 1, 1 << 21)
    for piece in reversed(pieces):
        free(piece)

for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_what_is_freed_is_kept():
    def faults(how):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("kept") < 500 < faults("not")
