"""What a fit found: values, predictions, profiles, and its own account of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.estimate.choice import Choice
from bridge.estimate.family import Member, averaged
from bridge.estimate.intervals import Parameter
from bridge.estimate.profile import Profile, Profiler, curve_profile
from bridge.field.curves import CurveFit
from bridge.field.departures import Departures
from bridge.field.outlook import Outlook
from bridge.model.mechanism import Mechanism
from bridge.search.linear import project
from bridge.search.problem import Problem, Solution
from bridge.search.uncertainty import Noise, reduce
from toymodel import InputError, LossMatrix, cyclic_order
from toymodel.base.notebook import Shown
from toymodel.base.words import arg, nearest
from toymodel.measures.agreement import pooled_r_squared

__all__ = ["FitResult", "Start"]

Floats = NDArray[np.float64]
# Parameters that a representation shows.
_FEW = 5


@dataclass(frozen=True, eq=False)
class Start:
    """One search of the multi-start (without pair correlations).

    Attributes:
        begin: theta where it began.
        theta: where it ended.
        cost: the objective there.
        converged: whether it ended by itself.
    """

    begin: Floats
    theta: Floats
    cost: float
    converged: bool


@dataclass(frozen=True, eq=False)
class FitResult(Shown):
    """The best fit and what is known about it.

    Attributes:
        mechanism: the form fitted.
        datasets: the loss matrices.
        unit: what the losses were divided by in the problem; its noise, too, is in this unit.
        problem: what was minimised.
        solution: where.
        noise: variance and correlation of the residuals, variance of the pair correlations.
        parameters: values, intervals, reasons.
        correlation: of the estimates on the scale of theta, shape ``(p, p)``.
        flat_directions: combinations of parameters of which the data say less than the prior, in words.
        starts: all searches, the best first.
        evaluations: of the mechanism, in all searches.
        intervals_by: ``profile``, ``quadratic`` or ``none``.
        seconds: wall time.
        curves: the fit to what documents share, where the form is of that family; None else.
        choice: the forms that were tried; None where one was given.
        others: those that were not chosen, posed on the same data, by name.
    """

    mechanism: Mechanism
    datasets: tuple[LossMatrix, ...]
    unit: float
    problem: Problem
    solution: Solution
    noise: Noise
    parameters: tuple[Parameter, ...]
    correlation: Floats
    flat_directions: tuple[str, ...]
    starts: tuple[Start, ...]
    evaluations: int
    intervals_by: str
    seconds: float
    curves: CurveFit | None = None
    choice: Choice | None = None
    others: Mapping[str, Problem] = field(default_factory=dict)

    def __repr__(self) -> str:
        values = ", ".join(f"{p.name}={p.value:.3g}" for p in self.parameters[:_FEW])
        more = f", and {len(self.parameters) - _FEW} more" if len(self.parameters) > _FEW else ""
        return f"FitResult({self.mechanism.name}; R^2 {self.r2:.3f}; {values}{more})"

    @property
    def data(self) -> LossMatrix:
        """The loss matrix (the first of a joint fit)."""
        return self.datasets[0]

    @property
    def prediction(self) -> LossMatrix:
        """The mechanism's losses of `data`."""
        return self.predictions[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(p.name for p in self.parameters)

    def theta(self, dataset: int = 0) -> Floats:
        """Parameters of one matrix on the unbounded scale."""
        return self.solution.theta[self.problem.blocks[dataset].index]

    def pairs(self, dataset: int = 0) -> Floats | None:
        """Pair correlations D_ij, i < j in row order; None without them."""
        return self.solution.pairs[dataset] if self.mechanism.pairs else None

    @cached_property
    def _linear(self) -> tuple[tuple[Floats, Floats, Floats], ...]:
        unit = self.unit
        if self.curves is not None:
            return tuple((m.scales * unit, np.zeros(len(m.scales)), m.shapes) for m in self.curves.matrices)
        result = []
        for number, block in enumerate(self.problem.blocks):
            shapes = self.mechanism.losses(self.theta(number), block.order, self.pairs(number))
            part = project(self.mechanism, block, shapes)
            result.append((part.scales * unit, part.floors * unit, shapes))
        return tuple(result)

    def scales(self, dataset: int = 0) -> Floats:
        """k_j: loss above the floor before training, shape ``(T,)``, unit of the losses."""
        return self._linear[dataset][0]

    def floors(self, dataset: int = 0) -> Floats:
        """c_j, shape ``(T,)``, unit of the losses; 0 where the mechanism has none."""
        return self._linear[dataset][1]

    @cached_property
    def predictions(self) -> tuple[LossMatrix, ...]:
        """The mechanism's losses of every matrix."""
        meta, pairs = {"mechanism": self.mechanism.name}, zip(self.datasets, self._linear, strict=True)
        return tuple(LossMatrix(c + k * shapes, losses.order, meta) for losses, (k, c, shapes) in pairs)

    @cached_property
    def r2(self) -> float:
        """R^2 over the losses that the fit saw, about the mean of each matrix."""
        parts = zip(self.datasets, self.predictions, self.problem.blocks, strict=True)
        return pooled_r_squared(
            (losses.values[block.weight > 0], guess.values[block.weight > 0])
            for losses, guess, block in parts
        )

    @property
    def deviation(self) -> float:
        """Standard deviation of a residual, unit of the losses."""
        return math.sqrt(self.noise.variance) * self.unit

    @property
    def agreeing_starts(self) -> int:
        """Searches whose objective ended within 1% of the best one's."""
        least = min(s.cost for s in self.starts)
        return sum(s.cost <= 1.01 * least for s in self.starts)

    def shares(self, epoch: int, dataset: int = 0) -> list[tuple[float, float]]:
        """Slow and fast share (A, B) of every channel in an epoch (mean over its episodes), from 0.

        Epochs beyond the fitted run have the shares of its last one, if the form describes.
        """
        block = self.problem.blocks[dataset]
        order = block.order if epoch < len(block.order) else cyclic_order(block.tasks, epoch + 1)
        drifting = len(block.order) if self.curves is None else None
        run = self.mechanism.evaluate(
            self.theta(dataset), order, self.pairs(dataset), jacobian=False, drifting=drifting
        )
        rows = slice(epoch * block.tasks, (epoch + 1) * block.tasks)
        return [(float(s[rows, 0].mean()), float(s[rows, 1].mean())) for s in run.shares]

    def predict(
        self,
        *,
        order: ArrayLike | None = None,
        epochs: int | None = None,
        steps: float = 1.0,
        documents: Sequence[int] | None = None,
        dataset: int = 0,
    ) -> LossMatrix:
        """The losses of a run that was not made.

        The shares of a form that explains go on as they did. Those of one that describes stay what they were
        in the fitted run's last epoch: its drifts, continued, run away.

        Args:
            order: schedule, shape ``(E, T)``, documents by their new numbers if some are left out; the
                fitted run's if None.
            epochs: number of epochs in place of the fitted run's; its order goes on as in its last epoch.
            steps: gradient steps per episode relative to the fitted run's: 2 for twice as many.
            documents: the documents kept, by their numbers in the fitted run; all if None. Without `order`
                they keep their order.
            dataset: which matrix of a joint fit.

        Raises:
            InputError: for arguments that contradict each other or the run.
        """
        fitted = self.datasets[dataset]
        kept = np.arange(fitted.tasks) if documents is None else np.array(documents, dtype=np.int64)
        if (
            len(set(kept.tolist())) != len(kept)
            or len(kept) < 2
            or kept.min() < 0
            or kept.max() >= fitted.tasks
        ):
            raise InputError(arg("documents", list(map(int, kept))),
                             expected=f"two or more of 0 to {fitted.tasks - 1}, each once",
                             fix=f"documents=range({fitted.tasks})")  # fmt: skip
        if not steps > 0:
            raise InputError(
                arg("steps", steps), expected="a positive ratio", fix=arg("steps", 2) + " for twice as many"
            )
        if order is not None and epochs is not None:
            raise InputError(
                "an order and a number of epochs", expected="one of them", fix="leave out epochs"
            )
        if order is not None:
            schedule = np.array(order, dtype=np.int64)
        else:
            new = {int(old): number for number, old in enumerate(kept)}
            rows = [[new[int(i)] for i in epoch if int(i) in new] for epoch in fitted.order]
            if any(len(row) != len(kept) for row in rows):
                raise InputError("a fitted order that repeats documents",
                                 expected="an order of its own for the prediction",
                                 fix="predict(order=...)")  # fmt: skip
            count = fitted.epochs if epochs is None else epochs
            if count < 1:
                raise InputError(arg("epochs", count), expected="at least 1", fix=arg("epochs", 6))
            schedule = np.array([rows[min(e, len(rows) - 1)] for e in range(count)], dtype=np.int64)
        pairs = self.pairs(dataset)
        if pairs is not None:
            upper = np.triu_indices(fitted.tasks, 1)
            whole = np.zeros((fitted.tasks, fitted.tasks))
            whole[upper] = pairs
            whole += whole.T
            pairs = whole[np.ix_(kept, kept)][np.triu_indices(len(kept), 1)]
        # The loss matrix judges the schedule before anything is computed from it.
        frame = LossMatrix(np.zeros((1 + schedule.size, len(kept))), schedule)
        drifting = fitted.epochs if self.curves is None else None
        shapes = self.mechanism.losses(
            self.theta(dataset), frame.order, pairs, steps=steps, drifting=drifting
        )
        values = self.floors(dataset)[kept] + self.scales(dataset)[kept] * shapes
        return LossMatrix(values, frame.order, {"mechanism": self.mechanism.name, "predicted": True})

    @property
    def departures(self) -> Departures | None:
        """What losses are beyond the mechanism, in their unit; None for a form that describes."""
        return None if self.curves is None else self.curves.matrices[0].departures.scaled(self.unit)

    @cached_property
    def family(self) -> tuple[Member, ...]:
        """The forms that forecast, each with its weight: all it was chosen from, or the one that was given.

        Empty for a form that describes.
        """
        if self.curves is None:
            return ()
        if self.choice is None:
            return (Member(self.mechanism.name, self.curves, 1.0),)
        return averaged(self.choice.chosen.name, self.curves, self.others, self.intervals_by != "none")

    def _outlooks(self, order: ArrayLike, dataset: int, anew: bool) -> list[Outlook]:
        if self.curves is None:
            raise InputError("a forecast from a form that describes",
                             expected="a form of one channel, without nearness and pairs",
                             fix="bridge.fit(losses).forecast(order)")  # fmt: skip
        schedule = np.array(order, dtype=np.int64)
        frame = LossMatrix(np.zeros((1 + schedule.size, self.datasets[dataset].tasks)), schedule)
        return [Outlook(member.fit, dataset, frame.order, anew) for member in self.family]

    def expected(self, order: ArrayLike, dataset: int = 0, anew: bool = False) -> LossMatrix:
        """The losses of a schedule given those seen, departures carried on as the fitted covariance has them.

        Where the form was chosen, all that it was chosen from take part, each with its weight (`family`).

        Args:
            order: shape ``(E, T)``; departures go on where it begins with the fitted schedule.
            dataset: which matrix of a joint fit.
            anew: the mechanism's alone, as for another run, whose departures are its own.
        """
        outlooks = self._outlooks(order, dataset, anew)
        values = sum(m.weight * o.expectation() for m, o in zip(self.family, outlooks, strict=True))
        whole = np.maximum(values, 0.0) * self.unit
        return LossMatrix(whole, outlooks[0].order, {"mechanism": self.mechanism.name, "predicted": True})

    def sample(
        self,
        order: ArrayLike,
        draws: int,
        rng: np.random.Generator,
        dataset: int = 0,
        anew: bool = False,
    ) -> Floats:
        """Losses that a run of this schedule may have, ``(draws, 1 + E*T, T)``: all uncertainty together.

        Args:
            order: as in `expected`.
            draws: how many.
            rng: of the draws.
            dataset: as in `expected`.
            anew: departures are another run's.
        """
        outlooks = self._outlooks(order, dataset, anew)
        # The least likely forms may have no draw, which is their part.
        counts = rng.multinomial(draws, [member.weight for member in self.family])
        parts = [o.sample(int(n), rng) for o, n in zip(outlooks, counts, strict=True) if n]
        return np.asarray(np.concatenate(parts) * self.unit)

    def profile(self, name: str, points: int = 9) -> Profile:
        """The objective as a function of one parameter, all others at their best.

        Raises:
            InputError: for an unknown parameter.
        """
        if name not in self.names:
            near = nearest(name, self.names)
            raise InputError(f"there is no parameter {name!r}", expected="one of " + ", ".join(self.names),
                             fix=f"profile({near!r})")  # fmt: skip
        p = self.names.index(name)
        if self.curves is not None:
            return curve_profile(self.curves, p, name, points)
        reduced = reduce(self.problem, self.solution, self.noise)
        profiler = Profiler(self.problem, self.solution, self.noise, reduced)
        reach = 3 * float(np.sqrt(reduced.covariance[p, p]))
        best = float(self.solution.theta[p])
        low, high = max(best - reach, self.problem.low[p]), min(best + reach, self.problem.high[p])
        term, result = self.problem.term(p), {best: 0.0}
        for end in (low, high):
            side = np.linspace(best, end, points // 2 + 1)[1:]
            theta = self.solution.theta
            for value in side:
                result[float(value)], theta = profiler.deviance(p, float(value), theta)
        places = sorted(result)
        return Profile(
            name, np.array([term.natural(v) for v in places]), np.array([result[v] for v in places])
        )
