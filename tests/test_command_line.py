"""The command line as a user meets it: flags, one-line errors, exit codes."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import reawaken
from toymodel import InputError, LossMatrix
from toymodel.base.words import arg, args


@dataclass(frozen=True)
class Settings:
    rate: float = 0.5
    """Learning rate."""
    kind: Literal["round", "square"] = "round"
    """Shape."""

    def __post_init__(self):
        if self.rate <= 0:
            raise InputError(arg("rate", self.rate), expected="a positive rate", fix=arg("rate", 0.5))


SEEN = []


def divide(*, step_size: float = 1.0, dim: int = 3) -> None:
    """Speak of arguments, as packages do.

    Args:
        step_size: A number.
        dim: Another.
    """
    raise InputError(
        args(step_size=step_size) + ", " + arg("map", "cubic"),
        expected=arg("dimension", 3) + ", step_size=1",
        fix=args(step_size=0.5, dimension=4),
    )  # fmt: skip


def show(settings: Settings = Settings(), *, out: Path, runs: tuple[Path, ...] = ()) -> None:  # noqa: B008
    """Show a thing.

    Args:
        out: Where to.
        runs: What of.
    """
    SEEN.append((settings, out, runs))


def fail(*, how: Literal["stop", "disk", "input", "defect"]) -> None:
    """Fail in a given way."""
    raise {
        "stop": KeyboardInterrupt("stopped after episode 3"),
        "disk": OSError(28, "No space left on device"),
        "input": InputError("a bad thing", expected="a good one", fix="--good"),
        "defect": ZeroDivisionError("a defect"),
    }[how]


class Peeking:
    """A command whose defaults depend on one of its flags."""

    def build(self, argv):
        default = Settings(rate=9.0) if "fast" in argv else Settings()

        def command(settings: Settings = default, *, preset: str = "") -> None:
            SEEN.append((settings, preset))

        return command


@pytest.fixture(autouse=True)
def _commands(monkeypatch):
    module = types.ModuleType("commands_of_the_tests")
    module.COMMANDS = {"show": show, "fail": fail, "peek": Peeking(), "divide": divide}
    module.NAMED = {"dimension": "dim"}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(reawaken.GROUPS, "test", (module.__name__, "for tests"))
    SEEN.clear()


def test_flags_become_parameters():
    argv = ["test", "show", "--rate", "2", "--kind", "square", "--out", "here", "--runs", "a", "b"]
    assert reawaken.main(argv) == 0
    assert [(Settings(2.0, "square"), Path("here"), (Path("a"), Path("b")))] == SEEN
    assert reawaken.main(["test", "show", "--out", "x"]) == 0
    assert SEEN[1] == (Settings(), Path("x"), ())


def test_a_preset_sets_defaults_that_flags_override():
    reawaken.main(["test", "peek", "--preset", "fast"])
    reawaken.main(["test", "peek", "--preset", "fast", "--kind", "square", "--rate", "3"])
    assert [(Settings(9.0), "fast"), (Settings(3.0, "square"), "fast")] == SEEN


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("test show --out x --raet 2", "--raet is no flag of reawaken test show; * --rate"),
        ("test show --out x more", "'more' belongs to no flag of reawaken test show"),
        ("test show --out x --rate=abc", "could not convert string to float: 'abc'"),
        ("test show --out x --kind sqare", "invalid choice 'sqare' * ('round', 'square')"),
        ("test show --out x --rate -1", "--rate -1.0; expected a positive rate. Fix: --rate 0.5"),
        ("test show", "Missing * --out"),
        ("test sow", "no command 'sow' * reawaken test show --help"),
        ("tset", "no command 'tset' * reawaken test --help"),
        ("test fail --how input", "a bad thing; expected a good one. Fix: --good"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, argv, words):
    assert reawaken.main(argv.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("reawaken: ")
    assert said.err.count("\n") == 1
    rest = said.err
    for part in words.split(" * "):
        assert part in rest, said.err
        rest = rest.partition(part)[2]
    assert SEEN == []


def test_arguments_of_the_packages_are_flags_on_the_command_line(capsys):
    assert reawaken.main(["test", "divide", "--step-size", "2"]) == 2
    assert capsys.readouterr().err == (
        "reawaken: --step-size 2.0, map='cubic'; expected --dim 3, step_size=1. "
        "Fix: --step-size 0.5 --dim 4\n"
    )


def test_other_failures(capsys, monkeypatch):
    assert reawaken.main(["test", "fail", "--how", "stop"]) == 130
    assert capsys.readouterr().err == "reawaken: stopped after episode 3\n"
    assert reawaken.main(["test", "fail", "--how", "disk"]) == 1
    assert capsys.readouterr().err == "reawaken: [Errno 28] No space left on device\n"
    monkeypatch.setattr(reawaken, "_TRAINING", ("test fail",))
    assert reawaken.main(["test", "fail", "--how", "disk"]) == 1
    assert "; unfinished runs go on with the same command\n" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):  # a defect of ours keeps its traceback
        reawaken.main(["test", "fail", "--how", "defect"])


def test_help_lists_commands_and_flags(capsys):
    assert reawaken.main([]) == 0
    overview = capsys.readouterr().out
    assert all(f"  {group} " in overview for group in ("compare", "toy", "llm", "fit", "figures"))
    assert reawaken.main(["test"]) == 0
    assert "Show a thing" in capsys.readouterr().out
    assert reawaken.main(["test", "show", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--rate" in out
    assert "Learning rate." in out


@pytest.mark.parametrize("group", ["compare", "toy", "llm", "fit", "figures"])
def test_every_group_has_commands_that_explain_themselves(group):
    import importlib

    module, line = reawaken.GROUPS[group]
    commands = importlib.import_module(module).COMMANDS
    assert commands
    assert line
    for command in commands.values():
        assert command.__doc__


def test_the_program_itself(tmp_path):
    """As installed: a truncated loss matrix is one line, exit code 2, and leaves nothing behind."""
    good = tmp_path / "good.npz"
    LossMatrix.from_values(np.random.default_rng(0).random((9, 4))).save(good)
    bad = tmp_path / "bad.npz"
    bad.write_bytes(good.read_bytes()[:150])
    done = subprocess.run(
        [sys.executable, "-m", "reawaken", "compare", "--run", str(bad), "--out", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert "bad.npz' cannot be read" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_importing_the_toy_model_is_light():
    code = "import sys, toymodel; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "transformers", "datasets", "matplotlib", "xarray", "pandas", "tyro", "tqdm", "lmfit"}
    assert not heavy & set(loaded.split())


def started(folder, *words, over=None):
    """The program as a user of another project's package would start it."""
    path = [str(folder), str(Path(reawaken.__file__).parent)]
    program = Path(over or reawaken.__file__)
    return subprocess.run(
        [sys.executable, str(program), *words], env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "words"), [
    ("llm", ["llm", "presets"]), ("bridge", ["fit", "x.npz"]), ("figures", ["figures", "11"]),
])  # fmt: skip
def test_another_projects_package_of_the_same_name_is_refused(tmp_path, name, words):
    """Copied beside the program, as one installed later replaces the files of one installed before."""
    root = Path(reawaken.__file__).parent
    for package in ("toymodel", "llm", "bridge", "figures"):
        (tmp_path / package).symlink_to(root / package)
    (tmp_path / "reawaken.py").write_text((root / "reawaken.py").read_text())
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text('"""A package for something else."""\n')
    done = started(tmp_path, *words, over=tmp_path / "reawaken.py")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"reawaken: the package {name!r} is not reawaken's: another project's was")
    assert done.stderr.count("\n") == 1
    assert "environment of its own" in done.stderr
    # What does not need it runs.
    assert started(tmp_path, "toy", "--help", over=tmp_path / "reawaken.py").returncode == 0


def test_a_package_that_is_found_first_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "llm.py").write_text("")
    found = importlib.util.spec_from_file_location("llm", tmp_path / "llm.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found if name == "llm" else REAL(name))
    assert reawaken.main(["llm", "presets"]) == 2
    assert f"is found first, {tmp_path / 'llm.py'}" in capsys.readouterr().err


REAL = importlib.util.find_spec


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2, 0.5, 0.8, 1.2, 2.0])
def test_ctrl_c_while_starting_is_quiet(tmp_path, delay):
    """At whatever moment once Python itself is up: importing, building the network, training."""
    # As in a terminal: a test run in the background hands on that Ctrl-C is ignored.
    code = "import contextlib, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "print('up', flush=True); import reawaken; "
    code += "sys.exit(reawaken.main(sys.argv[1:]))"
    flags = "--width 16 --depth 1 --heads 2 --feed-forward 16 --num-documents 3 --context 8 --epochs 5000"
    started = subprocess.Popen(
        [sys.executable, "-c", code, "llm", "run", *flags.split(), "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stdout.readline() == "up\n"
    time.sleep(0.02 + delay)
    started.send_signal(signal.SIGINT)
    try:
        _, err = started.communicate(timeout=120)
    finally:
        started.kill()
    assert started.returncode == 130, err
    assert err.startswith("reawaken: stopped")
    assert err.count("\n") == 1


@pytest.mark.parametrize("megabytes", [400, 700, 1000, 1500])
def test_too_little_memory_is_one_line(tmp_path, megabytes):
    code = "import resource, sys, reawaken; most = int(sys.argv[1]) << 20; "
    code += "resource.setrlimit(resource.RLIMIT_AS, (most, most)); sys.exit(reawaken.main(sys.argv[2:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(megabytes), "llm", "run", "--out", str(tmp_path / "run")],
        capture_output=True, text=True, timeout=120, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode in (1, 2), (done.returncode, done.stderr)
    assert done.stderr.startswith("reawaken: ")
    assert done.stderr.count("\n") == 1
