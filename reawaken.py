"""The command line: finds a command, turns its parameters into flags, and says errors in one line.

Every package lists its commands in a module of its own as ``COMMANDS``, name to function, or to a group of
further names; a group with the single name ``""`` is a command by itself. A function's parameters become
flags, dataclasses without a prefix. A command may also be an object whose ``build(argv)`` returns the
function, so that one flag (a preset) can set the defaults of the others. Only the group that was asked for is
imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

__all__ = ["main"]


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    """Ctrl-C in the middle of an import ends the process at once, since nothing has been written yet.

    As an exception it would show where it happened or, inside a library's C++ code, abort.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"reawaken: stopped\n")
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Inside the block Ctrl-C is quiet, unless whoever runs this handles it otherwise."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with contextlib.suppress(ValueError):  # not the main thread
        if ours:
            signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        if ours and signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


with _interruptible():  # from the first moment that is ours on
    import dataclasses
    import importlib
    import importlib.util
    import inspect
    import io
    import re
    import types
    import typing
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from toymodel.base.errors import InputError
    from toymodel.base.words import columns, nearest, nearest_few

GROUPS = {
    "compare": ("figures.pages.compare", "train a network, fit the toy model to it, show both side by side"),
    "toy": ("toymodel.commands", "simulate, sweep and analyse the toy model"),
    "llm": ("llm.commands", "run the paper's experiments on real networks"),
    "fit": ("bridge.commands", "fit the toy model to loss matrices"),
    "figures": ("figures.commands", "draw the figures of the paper from runs"),
    "explore": ("figures.explorer.commands", "one HTML file in which the mechanism moves, beside runs"),
    "record": ("figures.evidence.record", "train the small networks behind the recorded results"),
}

# Each package of this distribution, in the order of their imports, with a name that its __init__ exports.
_PACKAGES = {"toymodel": "simulate", "llm": "RunConfig", "bridge": "FitResult", "figures": "Comparison"}


# Commands that go on where they were stopped; what the others were doing starts again.
_TRAINING = ("compare", "record", "llm run", "llm sweep", "llm campaign", "toy sweep")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments after the program's name; those of the process if None.

    Returns:
        0; 2 for bad input, with one line on standard error; 130 after Ctrl-C; 1 when the machine failed (a
        full disk, say), with one line too.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    trains = any(" ".join(words[:2]).startswith(name) for name in _TRAINING)
    goes_on = "; unfinished runs go on with the same command" if trains else ""
    try:
        with _interruptible():
            _dispatch(words)
    except InputError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt as stop:
        return _complain(str(stop) or "stopped", 130)
    except MemoryError as error:
        return _complain(f"too little memory ({str(error) or 'none left'}){goes_on}", 1)
    except ImportError as error:
        reason = " ".join(str(error).split())
        if not re.search("memory|map segment", reason):
            raise
        return _complain(f"too little memory to load a library ({reason[:200]})", 1)
    except BrokenPipeError:
        # The reader of a pipe has gone (`reawaken ... | head`): nothing left to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _complain(f"{error}{goes_on}", 1)
    return 0


def _complain(message: str, code: int) -> int:
    print(f"reawaken: {message}", file=sys.stderr)
    return code


def _dispatch(argv: list[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview("reawaken", {name: line for name, (_, line) in GROUPS.items()}))
        return
    group = _choose(argv.pop(0), list(GROUPS), "reawaken")
    _check_packages(GROUPS[group][0].partition(".")[0])
    module = importlib.import_module(GROUPS[group][0])
    command: Any = module.COMMANDS
    program = f"reawaken {group}"
    while isinstance(command, dict):
        if list(command) == [""]:
            command = command[""]
            break
        if not argv or argv[0] in ("-h", "--help"):
            print(_overview(program, {name: _first_line(c) for name, c in command.items()}))
            return
        name = _choose(argv.pop(0), list(command), program)
        command, program = command[name], f"{program} {name}"
    function = command.build(argv) if hasattr(command, "build") else command
    _call(function, argv, program, getattr(module, "NAMED", {}))


def _check_packages(last: str) -> None:
    """That the packages up to the one that is needed are this program's: other projects use their names too.

    Raises:
        InputError: for a package that was found elsewhere, or that another one was installed over.
    """
    here = Path(__file__).parent
    names = list(_PACKAGES)
    for name in names[: names.index(last) + 1] if last in names else []:
        found = importlib.util.find_spec(name)
        file = Path(found.origin) if found is not None and found.origin else None
        if file is not None and file.exists() and _same(file, here / name / "__init__.py"):
            if f'"{_PACKAGES[name]}"' in file.read_text(encoding="utf-8"):
                continue
            where = f"another project's was installed over it in {file.parent}"
        else:
            where = f"another project's is found first, {file or 'a folder of that name'}"
        raise InputError(
            f"the package {name!r} is not reawaken's: {where}",
            expected=f"the one beside {here / 'reawaken.py'}",
            fix="install reawaken in an environment of its own, and start it outside folders with such names",
        )


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _choose(word: str, known: list[str], program: str) -> str:
    if word not in known:
        near = nearest(word, known)
        raise InputError(
            f"there is no command {word!r}",
            expected=f"one of {', '.join(known)}",
            fix=f"{program} {near} --help",
        )
    return word


def _overview(program: str, lines: dict[str, str]) -> str:
    rows = "\n".join(f"  {line}" for line in columns(lines.items()))
    return (
        f"usage: {program} COMMAND [flags]\n\n{rows}\n\n{program} COMMAND --help lists the flags of a command"
    )


def _first_line(command: Any) -> str:
    if isinstance(command, dict):
        return "one of " + ", ".join(command)
    return (command.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _call(function: Callable[..., Any], argv: list[str], program: str, named: Mapping[str, str]) -> None:
    import tyro

    parsed: list[tuple[Any, ...]] = []
    # tyro frames what it refuses over several lines; the words are kept and put on one.
    frame = _Frame()
    options: dict[str, Any] = {"prog": program, "config": (tyro.conf.OmitArgPrefixes,)}

    def delay(*args: Any, **kwargs: Any) -> None:
        parsed.append((args, kwargs))

    # Only parsing happens inside: the command's own errors must not be caught with the parser's.
    delay.__dict__["__wrapped__"] = function
    delay.__doc__ = function.__doc__
    try:
        with _shown_to(frame):
            _, unknown = tyro.cli(delay, args=argv, return_unknown_args=True, **options)
    except SystemExit as stop:
        if stop.code in (0, None):  # the help
            print(frame.getvalue(), end="")
            return
        raise _original(stop) or InputError(
            _unframed(frame.getvalue()), expected="flags and values as in the help", fix=f"{program} --help"
        ) from None
    if unknown:
        _refuse(unknown, _flags(function), program)
    args, kwargs = parsed[0]
    try:
        function(*args, **kwargs)
    except InputError as error:
        raise _in_flags(error, _flags(function), named) from error


def _in_flags(error: InputError, flags: list[str], named: Mapping[str, str]) -> InputError:
    """An error of a package, which speaks of arguments, in the words of the command line: flags.

    Args:
        error: the error; ``rate=0.01`` in it becomes ``--rate 0.01``.
        flags: of the command.
        named: names of arguments that are called otherwise as flags, from the commands' module.
    """
    known = {flag[2:].replace("-", "_"): flag for flag in flags} | {n: f"--{f}" for n, f in named.items()}
    assigned = re.compile(rf"\b({'|'.join(map(re.escape, known))})=('[^']*'|[^\s,;:)]+)")

    def spoken(text: str) -> str:
        return assigned.sub(lambda found: f"{known[found[1]]} {found[2].strip(chr(39))}", text)

    return InputError(spoken(error.problem), expected=spoken(error.expected), fix=spoken(error.fix))


def _flags(function: Callable[..., Any]) -> list[str]:
    """The flags that a function's parameters become: their names, and those of a dataclass's fields."""
    kinds = typing.get_type_hints(function)
    names: list[str] = []
    for name in inspect.signature(function).parameters:
        fields = dataclasses.fields(kinds[name]) if dataclasses.is_dataclass(kinds.get(name)) else ()
        names += [field.name for field in fields] or [name]
    return ["--" + name.replace("_", "-") for name in names]


def _refuse(unknown: list[str], flags: list[str], program: str) -> None:
    word = next((u for u in unknown if u.startswith("-")), unknown[0]).partition("=")[0]
    near = nearest_few(word.replace("_", "-"), flags, 1)
    raise InputError(
        f"{word} is no flag of {program}",
        expected=f"one of its {len(flags)} flags",
        fix=f"{near[0]} ... ({program} --help lists all)" if near else f"{program} --help",
    )


class _Frame(io.StringIO):
    """A terminal that can show frames, so that what is caught looks the same wherever the program runs."""

    encoding = "utf-8"


@contextlib.contextmanager
def _shown_to(frame: _Frame) -> Iterator[None]:
    with contextlib.redirect_stdout(frame), contextlib.redirect_stderr(frame):
        yield


def _original(error: BaseException) -> InputError | None:
    """The InputError of a dataclass that the parser caught and put into a frame of its own."""
    cause = error.__context__
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__context__
    return cause


def _unframed(text: str) -> str:
    """The sentences of a framed message, without the frame, its title and the help that is quoted in it."""
    lines = [line.strip("│ ").strip() for line in text.splitlines() if line.startswith("│")]
    parts = re.split(r"─{2,}", " ".join(lines) or text)
    quoted = ("For full helptext", "Argument helptext")
    kept = [re.sub(r"\s+", " ", part).strip() for part in parts if not part.strip().startswith(quoted)]
    return "; ".join(part.rstrip(".") for part in kept if part)


if __name__ == "__main__":
    sys.exit(main())
