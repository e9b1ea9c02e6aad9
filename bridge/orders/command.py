"""``reawaken fit --which-order``: what a run, a loss matrix or a plain log says of the order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bridge.orders import evidence, replay
from bridge.orders.logs import Log, read_log
from toymodel import InputError, LossMatrix
from toymodel.base.words import arg

__all__ = ["tell_orders"]


def tell_orders(runs: Sequence[Path], epoch_length: int | None) -> None:
    """Print for each log which order it was; without epochs, whether the sequence began anew."""
    if epoch_length is not None and epoch_length < 1:
        raise InputError(arg("epoch_length", epoch_length), expected="documents to the epoch, 5 or more",
                         fix=arg("epoch_length", 25))  # fmt: skip
    told = [f"{path}\n{_told(read_log(path), epoch_length)}" for path in runs]
    print("\n".join(told))


def _told(log: Log, epoch_length: int | None) -> str:
    if isinstance(log.losses, LossMatrix):
        return evidence.report(_order(log, epoch_length))
    told = f"{log.losses.size} losses, from {log.source}"
    if epoch_length is None:
        return f"{told}\n{replay.report(replay.replay_evidence(log.losses))}"
    over = log.losses.size % epoch_length
    if over and log.losses.size > epoch_length:
        told += f"; the last {over} are no whole epoch and left out"
    return f"{told}\n{evidence.report(_order(log, epoch_length))}"


def _order(log: Log, epoch_length: int | None) -> evidence.OrderEvidence:
    from tqdm import tqdm

    with tqdm(desc="places of a displacement", unit=" steps", delay=1, leave=False, disable=None) as bar:
        return evidence.order_evidence(log.losses, epoch_length, progress=bar.update)
