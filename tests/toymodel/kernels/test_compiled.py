"""Compiled code: the same as its Python source, every line of it reached, and never stale."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import toymodel

ROOT = Path(toymodel.__file__).parents[1]


def start(script, *argv, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *argv],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_line_of_the_loops_without_the_compiler():
    script = Path(__file__).with_name("every_loop.py")
    source = start(script, "--coverage", NUMBA_DISABLE_JIT="1")
    assert len(source["missing"]) > 10
    assert not {name: lines for name, lines in source["missing"].items() if lines}
    compiled = start(script)
    assert len(compiled["results"]) > 50
    np.testing.assert_allclose(source["results"], compiled["results"], rtol=1e-9, atol=1e-9)


def test_no_loop_calls_a_compiled_function_of_another_file():
    """A cached loop does not notice that such a file has changed."""
    loops = sorted((ROOT / "toymodel/kernels").glob("*.py"))
    assert {"moments.py", "projected.py"} <= {file.name for file in loops}
    for file in (*loops, *sorted((ROOT / "toymodel/maps").glob("*_maps.py"))):
        tree = ast.parse(file.read_text())
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("toymodel")
        }  # fmt: skip
        for function in [n for n in tree.body if isinstance(n, ast.FunctionDef)]:
            given = [a.arg for a in function.args.args]
            # What compiles a loop is no loop itself.
            compiles = "functools.cache" in map(ast.unparse, function.decorator_list)
            if (file in loops and not compiles) or given[1:] == ["theta", "out"]:
                used = {n.id for b in function.body for n in ast.walk(b) if isinstance(n, ast.Name)}
                assert not used & imported, (file.name, function.name)


def test_changed_source_is_compiled_again(tmp_path):
    shutil.copytree(ROOT / "toymodel", tmp_path / "toymodel", ignore=shutil.ignore_patterns("__pycache__"))
    script = tmp_path / "one.py"
    script.write_text(
        "import numpy as np, toymodel\n"
        "assert toymodel.__file__.startswith(__file__[:-6])\n"
        "print(toymodel.share_losses(0.3, 0.7, np.array([[0, 1]])).sum())\n"
    )
    environment = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    first = start(script, **environment)
    assert start(script, **environment) == first
    file = tmp_path / "toymodel" / "kernels" / "moments.py"
    text = file.read_text()
    # An inner function, which the cached entry point calls.
    assert text.count("< 0.0 else loss") == 1
    file.write_text(
        text.replace("return 0.0 if loss < 0.0 else loss", "return 0.0 if loss < 0.0 else 3.0 * loss")
    )
    np.testing.assert_allclose(start(script, **environment), 3 * first, rtol=1e-12)


def test_importing_the_package_loads_neither_the_compiler_nor_anything_heavy():
    code = "import sys, toymodel, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"numba", "xarray", "torch", "transformers", "matplotlib", "tqdm", "tyro", "h5py"}
