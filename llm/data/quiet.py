"""What the transformers library says by itself: bars on terminals alone, and no lines of log."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator

__all__ = ["quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's bars out of pipes and files, and its warnings away: what matters is checked here."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
