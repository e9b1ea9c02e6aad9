"""Refuse what would not fit in memory before any of it is computed."""

from __future__ import annotations

import os

from toymodel.base.errors import InputError

__all__ = ["available_memory", "refuse_if_too_large"]

_SMALL = 1 << 17  # bytes that are always there: they are used in less time than asking the system takes


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def refuse_if_too_large(size: int, what: str, fix: str, limit: int | None = None) -> None:
    """Raise an `InputError` if `size` bytes exceed `limit` (nine tenths of what is available if None)."""
    if limit is None and size <= _SMALL:
        return
    free = available_memory() if limit is None else None
    most = limit if free is None else int(0.9 * free)
    if most is not None and size > most:
        raise InputError(what + f" would take {min(size, 2**99) / 2**20:,.0f} MiB",
                         expected=f"at most {most / 2**20:,.0f} MiB", fix=fix)  # fmt: skip
