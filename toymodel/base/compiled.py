"""Functions compiled by numba and kept on disk; compiled code that is damaged there is compiled again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from toymodel.base.words import one_line

__all__ = ["compiled"]

_said = False


def compiled(function: Callable[..., Any], signature: Any, *, cache: bool = True, **options: Any) -> Any:
    """The function compiled for one signature, or read from the cache.

    Args:
        function: a Python function; what it calls is compiled by `numba.njit` and lies in its own module.
        signature: types of its arguments.
        cache: keep the code on disk. Right for a function of a file, wrong for a closure.
        options: of `numba.njit`.
    """
    import numba

    def compile_it() -> Any:
        return numba.njit(signature, cache=cache, error_model="numpy", **options)(function)

    try:
        return compile_it()
    except (numba.core.errors.NumbaError, RuntimeError):  # what it says of the function itself
        raise
    except Exception as error:  # whatever a damaged file makes the cache's pickle raise
        if not cache:
            raise
        _say(error)
        kind: Any = numba.core.dispatcher.Dispatcher
        for used in (numba.njit(cache=True)(function), *function.__globals__.values()):
            if isinstance(used, kind):
                used._cache.flush()  # there is no public way to drop what is on disk
        return compile_it()


def _say(error: Exception) -> None:
    global _said
    if not _said:
        reason = one_line(error, 120, kind=True)
        print(f"reawaken: compiled code on disk is damaged ({reason}); compiling it again", file=sys.stderr)
    _said = True
