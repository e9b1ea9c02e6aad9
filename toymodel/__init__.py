"""The mechanistic toy model of anticipatory recovery: slow weights P, fast weights w, exact theory."""

from toymodel.errors import InputError
from toymodel.losses import LossMatrix, cyclic_order
from toymodel.maps import MAPS, TaskMap, get_map
from toymodel.moments import epoch_operator, expected_losses, moment_losses, share_losses, shares
from toymodel.recovery import (
    Intervals,
    RecoveryScore,
    ShiftAveraged,
    forgetting,
    intervals,
    recovery_score,
    recovery_score_per_task,
    recovery_scores,
    savings,
    shift_averaged,
    visits,
)
from toymodel.schedules import SCHEDULES, schedule
from toymodel.simulate import ENGINES, StabilityWarning, ToyRun, simulate
from toymodel.tasks import Tasks, random_tasks

__all__ = [
    "ENGINES",
    "InputError",
    "Intervals",
    "LossMatrix",
    "MAPS",
    "RecoveryScore",
    "SCHEDULES",
    "ShiftAveraged",
    "StabilityWarning",
    "TaskMap",
    "Tasks",
    "ToyRun",
    "cyclic_order",
    "epoch_operator",
    "expected_losses",
    "forgetting",
    "get_map",
    "intervals",
    "moment_losses",
    "random_tasks",
    "recovery_score",
    "recovery_score_per_task",
    "recovery_scores",
    "savings",
    "schedule",
    "share_losses",
    "shares",
    "shift_averaged",
    "simulate",
    "visits",
]
