"""The command line: finds a command, turns its parameters into flags, and says errors in one line.

Every package lists its commands in a module of its own as ``COMMANDS`` (`Commands` says what that may hold),
and as ``NAMED`` the arguments that have other names as flags. Only the group that was asked for is imported.
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
    import importlib
    import importlib.util
    import io
    import itertools
    import re
    import types
    import warnings
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Protocol, TypeAlias

    from toymodel.base.errors import InputError
    from toymodel.base.words import columns, nearest, nearest_few

Command: TypeAlias = Callable[..., None]
"""Its parameters become flags, the fields of dataclasses without a prefix; its docstring is the help."""


class WithDefaults(Protocol):
    """A command whose defaults depend on what is asked for: one flag, a preset, sets those of the others."""

    function: Command

    def build(self, argv: Sequence[str]) -> Command:
        """The function with the defaults that the arguments ask for."""


Commands: TypeAlias = "Mapping[str, Command | WithDefaults | Commands]"
"""By name; a group with the single name "" is a command by itself."""

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
    found = _find(module.COMMANDS, argv, f"reawaken {group}")
    if found is None:
        return
    (command, program), named = found, getattr(module, "NAMED", {})
    if callable(command):
        _call(command, argv, program, named)
        return
    try:
        function = command.build(argv)
    except InputError as error:
        raise error.in_flags(_by_argument(command.function, named)) from error
    _call(function, argv, program, named)


def _find(commands: Commands, argv: list[str], program: str) -> tuple[Command | WithDefaults, str] | None:
    """The command that the first arguments name, and its program; None where help was asked for."""
    if list(commands) == [""]:
        found = commands[""]
    elif not argv or argv[0] in ("-h", "--help"):
        print(_overview(program, {name: _first_line(c) for name, c in commands.items()}))
        return None
    else:
        name = _choose(argv.pop(0), list(commands), program)
        found, program = commands[name], f"{program} {name}"
    return _find(found, argv, program) if isinstance(found, Mapping) else (found, program)


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


def _first_line(command: Command | WithDefaults | Commands) -> str:
    if isinstance(command, Mapping):
        return "one of " + ", ".join(command)
    return (command.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _call(function: Command, argv: list[str], program: str, named: Mapping[str, str]) -> None:
    import tyro

    parsed: list[tuple[tuple[object, ...], dict[str, object]]] = []
    # tyro frames what it refuses over several lines; the words are kept and put on one.
    frame = _Frame()

    def delay(*args: object, **kwargs: object) -> None:
        parsed.append((args, kwargs))

    # Only parsing happens inside: the command's own errors must not be caught with the parser's.
    delay.__dict__["__wrapped__"] = function
    delay.__doc__ = function.__doc__
    try:
        with _shown_to(frame):
            _, unknown = tyro.cli(
                delay, args=argv, return_unknown_args=True, prog=program, config=(tyro.conf.OmitArgPrefixes,)
            )
    except SystemExit as stop:
        if stop.code in (0, None):  # the help
            print(frame.getvalue(), end="")
            return
        if (error := _original(stop)) is not None:
            raise error.in_flags(_by_argument(function, named)) from None
        raise InputError(
            _unframed(frame.getvalue()), expected="flags and values as in the help", fix=f"{program} --help"
        ) from None
    if unknown:
        _refuse(unknown, list(_by_argument(function, {}).values()), program, argv)
    args, kwargs = parsed[0]
    try:
        function(*args, **kwargs)
    except InputError as error:
        raise error.in_flags(_by_argument(function, named)) from error


def _by_argument(function: Command, named: Mapping[str, str]) -> dict[str, str]:
    """The flags that the parser of a function takes, by the arguments that they stand for.

    Args:
        function: a command.
        named: the flags of arguments that the package calls otherwise, without dashes.
    """
    import tyro

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(function, config=(tyro.conf.OmitArgPrefixes,))
    known = [option for action in parser._actions for option in action.option_strings[:1]]
    flags = {flag[2:].replace("-", "_"): flag for flag in known if flag.startswith("--")}
    return flags | {name: f"--{flag}" for name, flag in named.items() if f"--{flag}" in known}


def _refuse(unknown: list[str], flags: list[str], program: str, argv: Sequence[str]) -> None:
    for flag, value in itertools.pairwise(argv):
        if value == unknown[0] and value.lower() in ("true", "false") and flag in flags:
            plain, turned = flag.replace("--no-", "--", 1), "--no-" + flag.removeprefix("--")
            raise InputError(f"{flag} {value}", expected="a flag without a value",
                             fix=plain if value.lower() == "true" else turned)  # fmt: skip
    if not any(u.startswith("-") for u in unknown):
        raise InputError(f"{unknown[0]!r} belongs to no flag of {program}", expected="values behind flags",
                         fix=f"{program} --help")  # fmt: skip
    word = next(u for u in unknown if u.startswith("-")).partition("=")[0]
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
