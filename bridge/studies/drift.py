"""Whether the slow share falls with visits or with the loss.

``python -m bridge.studies.drift --runs figures/recorded/h100`` fits the form of five numbers to the first
three epochs of every run and predicts the others by the mechanism alone, three times: the share goes on
falling with every epoch; it stays what it was in the third; or both shares move with the log of the loss that
an episode meets, as a kernel that grows while the network learns would have them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bridge.estimate.choice import FIVE
from bridge.estimate.fit import fit
from bridge.model.mechanism import Mechanism
from bridge.studies.little import find_runs
from toymodel import LossMatrix
from toymodel.measures.agreement import r_squared

__all__ = ["main", "three_ways"]

WITH_LOSS = Mechanism(channels=1, drift="loss", link="saturating", nearness=False, pairs=False)


def three_ways(losses: LossMatrix, seen: int = 3) -> tuple[float, float, float, float]:
    """Drift per epoch, and R^2 of held-out epochs: share going on, staying, and moving with the loss."""
    known = losses.first_epochs(seen)
    rows = slice(len(known.values), None)
    found = fit(known, FIVE, intervals_by="none")
    goes_on = found.predict(order=losses.order).values[rows]
    stays = found.scales() * FIVE.losses(found.theta(), losses.order, drifting=seen)
    follows = fit(known, WITH_LOSS, starts=3, intervals_by="none").predict(order=losses.order).values[rows]
    truth = losses.values[rows]
    drift = next(p.value for p in found.parameters if p.name == "slow_drift")
    return drift, r_squared(truth, goes_on), r_squared(truth, stays[rows]), r_squared(truth, follows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of run folders or .npz files")
    parser.add_argument("--only", default="sgd", help="runs whose name holds this")
    options = parser.parse_args(arguments)
    print(f"{'run':<36}{'drift':>8}{'goes on':>9}{'stays':>9}{'with the loss':>15}")
    for name, losses in find_runs(options.runs).items():
        if options.only in name and losses.epochs > 3 and (losses.order == losses.order[0]).all():
            drift, *r2 = three_ways(losses)
            print(f"{name:<36}{drift:>8.2f}{r2[0]:>9.3f}{r2[1]:>9.3f}{r2[2]:>15.3f}", flush=True)


if __name__ == "__main__":
    main()
