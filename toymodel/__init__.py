"""The mechanistic toy model of anticipatory recovery: slow weights P, fast weights w, exact theory."""

from toymodel.errors import InputError
from toymodel.losses import LossMatrix, cyclic_order
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

__all__ = [
    "InputError",
    "Intervals",
    "LossMatrix",
    "RecoveryScore",
    "ShiftAveraged",
    "cyclic_order",
    "forgetting",
    "intervals",
    "recovery_score",
    "recovery_score_per_task",
    "recovery_scores",
    "savings",
    "shift_averaged",
    "visits",
]
