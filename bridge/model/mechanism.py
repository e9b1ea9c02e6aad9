"""The mechanism: the shape of a loss matrix predicted from the extended toy model's identifiable parameters.

``L_tj = c_j + k_j h(x_tj)`` with x the expected squared distance of w from document j's solution q_j,
relative to its value before training, summed over channels. By the gauge symmetry uniform similarity is no
parameter of its own, so an episode is given by the fraction u = 1-A-B of the residual that it leaves and the
part s = A/(A+B) of what is fitted that the slow weights do. c_j and k_j enter linearly and are solved for
inside every evaluation (variable projection); everything else is the vector theta.

What a real network needs beyond the paper's model, each switched on by its own setting:

* *drift*: what an episode leaves of a loss falls over epochs, so logit u and logit s move linearly with the
  epoch, or with the log of the loss that the episode meets;
* *link*: a cross-entropy is no squared distance; ``h(x) = x^p``,
  ``h(x) = (e^(a x) - 1)/(e^a - 1)`` or ``h(x) = (1+z) x/(x+z)``;
* *channels*: layers learn at different speeds; channels are independent dimensions with their own A, B;
* *nearness*: documents near each other in the order are less (or more) similar than far ones, by
  ``near * exp(-(d-1)/reach)`` at ring distance d (only the difference counts: the gauge takes the rest);
* *interference*: documents in a space of N dimensions are similar by chance, with variance 1/N about the
  mean that the gauge takes. To second order every episode moves the solution of each other document by a step
  of its own, ``S_jj += A^2 rr/N`` with rr the squared distance that the trained document is off. Steps are
  taken to be independent; as the same similarities come again every epoch, what is fitted is more than 1/N;
* *diffusion*: an optimizer whose steps do not shrink with what is left (Adam's are as long for a gradient of
  any size) moves every other document's solution by a random step of the same size, ``S_jj += d``;
* *sharing*: some directions of w are trained by some of the documents only (`bridge.model.sharing`);
* *pairs*: the initial solutions of the documents are correlated, each pair by its own D_ij. In a toy model
  of M dimensions these are random with variance 1/M; they are fitted with that prior, M from the data.

A real run determines such a mechanism only in part, so every parameter carries a weak normal prior on the
scale of theta (`Term.centre`, `Term.width`); one that the data say less about than its prior has no interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bridge.model.kernels import BEYOND, LEAST, TANGENTS, feature_kernel, sensitivity_kernel
from bridge.model.links import LINKS
from bridge.model.nearness import similarity_by_distance
from bridge.model.sharing import directions
from bridge.model.starts import starting_points
from bridge.model.terms import DIFFUSION, EVEN, INTERFERENCE, NEARNESS, SHARED, SHARES, Layout, Term
from toymodel import InputError
from toymodel.base.words import arg

__all__ = ["MOST_PAIRED", "Evaluation", "Mechanism"]

Floats = NDArray[np.float64]
Order = NDArray[np.int64]
# With more documents the pair correlations outnumber what an epoch can tell, and fill gigabytes.
MOST_PAIRED = 60


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A mechanism evaluated at theta.

    Attributes:
        shapes: h(x), shape ``(1 + E*T, T)``.
        jacobian: derivatives by theta, shape ``(p, 1 + E*T, T)``.
        features: derivatives by the pair correlations, shape ``(1 + E*T, T, T(T-1)/2)``, or None.
        shares: slow and fast share of every episode, one array ``(E*T, 2)`` per channel.
    """

    shapes: Floats
    jacobian: Floats
    features: Floats | None
    shares: list[Floats]


@dataclass(frozen=True)
class Mechanism:
    """Which form of the model is fitted.

    Attributes:
        channels: independent sets of dimensions, each with its own shares.
        drift: whether shares stay, the slow share moves with the epoch, or both move with it or with the
            loss.
        link: from relative squared distance to loss.
        nearness: similarity that depends on distance in the order (2 parameters).
        pairs: correlated initial solutions (T(T-1)/2 numbers with a prior).
        scale: one scale k for each document, or one for all.
        floor: a floor c beside each scale, never below 0.
        interference: documents that are similar by chance (1 parameter).
        diffusion: solutions moved at random by steps that do not shrink (1 parameter).
        sharing: part of the documents that trains a direction of w: all, uniform between 0 and 1, or from
            Beta(g, 1) (1 parameter, its mean).
    """

    channels: int = 2
    drift: Literal["none", "slow", "epoch", "loss"] = "epoch"
    link: Literal["linear", "power", "exponential", "saturating"] = "power"
    nearness: bool = True
    pairs: bool = True
    scale: Literal["document", "common"] = "document"
    floor: bool = False
    interference: bool = False
    diffusion: bool = False
    sharing: Literal["all", "uniform", "beta"] = "all"

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise InputError(arg("channels", self.channels), expected="at least 1", fix=arg("channels", 1))
        for name, choices in (
            ("drift", ("none", "slow", "epoch", "loss")),
            ("link", tuple(LINKS)),
            ("scale", ("document", "common")),
            ("sharing", ("all", "uniform", "beta")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(arg(name, getattr(self, name)), expected="one of " + ", ".join(choices),
                                 fix=arg(name, choices[0]))  # fmt: skip
        if self.pairs and self.drift == "loss":
            raise InputError("pairs with shares that drift with the loss",
                             expected="a drift by epoch or none",
                             fix=arg("drift", "epoch") + ", or " + arg("pairs", False))  # fmt: skip
        if self.pairs and self.sharing != "all":
            raise InputError("pairs with directions that only some documents train", expected="one of them",
                             fix=arg("pairs", False))  # fmt: skip
        if (self.interference or self.diffusion) and (self.nearness or self.pairs):
            raise InputError(f"{'interference' if self.interference else 'diffusion'} with nearness or pairs",
                             expected="solutions moved by chance, or by their places and their own numbers",
                             fix=arg("nearness", False) + ", " + arg("pairs", False))  # fmt: skip

    @property
    def name(self) -> str:
        """How reports call it."""
        parts = [f"{self.channels} channel" + "s" * (self.channels > 1)]
        parts.append({"none": "constant shares", "slow": "slow share drifts by epoch",
                      "epoch": "shares drift by epoch",
                      "loss": "shares drift with the loss"}[self.drift])  # fmt: skip
        if self.link != "linear":
            parts.append(f"{self.link} link")
        if self.nearness:
            parts.append("similarity by distance in the order")
        if self.pairs:
            parts.append("correlated documents")
        if self.interference:
            parts.append("documents similar by chance")
        if self.diffusion:
            parts.append("solutions that diffuse")
        if self.sharing != "all":
            parts.append("directions shared by a part of the documents")
        floor = " and floor" if self.floor else ""
        parts.append(f"a scale{floor} per document" if self.scale == "document" else f"one scale{floor}")
        return "slow and fast weights: " + ", ".join(parts)

    @property
    def explains(self) -> bool:
        """Whether the form is of the family that is fitted to what documents share, not to every loss."""
        plain = self.channels == 1 and not (self.nearness or self.pairs or self.floor)
        return (
            plain
            and self.scale == "document"
            and self.drift != "loss"
            and self.link in ("linear", "saturating")
        )

    @cached_property
    def layout(self) -> Layout:
        """Where each parameter stands in theta."""
        shares = EVEN if self.explains else SHARES
        beyond: tuple[Term, ...] = NEARNESS if self.nearness else ()
        beyond += (INTERFERENCE,) * self.interference + (DIFFUSION,) * self.diffusion
        beyond += (SHARED,) * (self.sharing == "beta")
        return Layout(self.channels, self.drift, LINKS[self.link].term, shares, beyond)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The nonlinear parameters, in the order of theta."""
        return self.layout.terms

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the nonlinear parameters, in the order of theta."""
        return tuple(term.name for term in self.terms)

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Box for theta; wide enough that a bound reached means the data say nothing more."""
        return np.array([t.low for t in self.terms]), np.array([t.high for t in self.terms])

    def natural(self, theta: Floats) -> Floats:
        """Parameters in their own units; increasing in each component of theta."""
        return np.array([t.natural(x) for t, x in zip(self.terms, theta, strict=True)])

    def linear_parameters(self, tasks: int) -> int:
        """Number of scales and floors."""
        return (1 + self.floor) * (tasks if self.scale == "document" else 1)

    def starts(self, count: int, seed: int = 0) -> list[Floats]:
        """Starting points over the plausible range; the first ones are known to be good."""
        return starting_points(self.terms, self.channels, count, seed)

    def similarity(self, theta: Floats, order: Order) -> tuple[Floats, Floats]:
        """Similarity of documents in every epoch and its two derivatives (`bridge.model.nearness`).

        Returns:
            Shapes ``(E, T, T)`` and ``(E, 2, T, T)``; ``(0, 0, 0)`` and ``(0, 0, 0, 0)`` without nearness.
        """
        if not self.nearness:
            return np.zeros((0, 0, 0)), np.zeros((0, 0, 0, 0))
        reach = math.exp(self.layout.value(theta, "reach"))
        return similarity_by_distance(order, self.layout.value(theta, "near_similarity"), reach)

    def evaluate(
        self,
        theta: Floats,
        order: Order,
        pairs: Floats | None = None,
        *,
        jacobian: bool = True,
        features: bool = False,
        drifting: int | None = None,
    ) -> Evaluation:
        """Shapes and exact derivatives.

        Args:
            theta: parameters on the unbounded scale.
            order: schedule, shape ``(E, T)``.
            pairs: D_ij for i < j in row order, shape ``(T(T-1)/2,)``; 0 if None.
            jacobian: compute the derivatives by theta (else there are none, shape ``(0, ...)``).
            features: compute the derivatives by `pairs` too.
            drifting: as in `losses`.
        """
        return self._run(
            theta, order, pairs, steps=1.0, drifting=drifting, derivatives=jacobian, features=features
        )

    def losses(
        self,
        theta: Floats,
        order: Order,
        pairs: Floats | None = None,
        *,
        steps: float = 1.0,
        drifting: int | None = None,
    ) -> Floats:
        """Shapes alone, shape ``(1 + E*T, T)``: what `evaluate` gives, without derivatives.

        Args:
            theta: as in `evaluate`.
            order: likewise.
            pairs: likewise.
            steps: gradient steps per episode relative to the fitted run's; K steps leave g^K of a residual,
                so u becomes u^steps while the slow share stays (docs/theory.md, section 2).
            drifting: epochs in which shares drift by epoch (all if None); later ones have the last one's.
        """
        run = self._run(
            theta, order, pairs, steps=steps, drifting=drifting, derivatives=False, features=False
        )
        return run.shapes

    def _run(
        self,
        theta: Floats,
        order: Order,
        pairs: Floats | None,
        *,
        steps: float,
        drifting: int | None,
        derivatives: bool,
        features: bool,
    ) -> Evaluation:
        tasks = order.shape[1]
        size, rows = len(self.terms), 1 + order.size
        schedule = np.array(order, dtype=np.int64)
        last = math.inf if drifting is None else drifting - 1.0
        # The first slot holds the losses, one more for each derivative that the kernel knows.
        random = self.interference or self.diffusion
        tangents = TANGENTS + (BEYOND["nearness"] if self.nearness else BEYOND["random"] * random)
        slots = 1 + len(tangents) if derivatives else 1
        # On the scale of theta the mean of Beta(g, 1), g/(1+g), is log g.
        exponent = None if self.sharing == "all" else math.exp(self.layout.value(theta, SHARED.kind))
        place, counts = directions(tasks, exponent)
        kinds = (*tangents, SHARED.kind) if derivatives and self.sharing == "beta" else tangents
        ratio, dratio = self.similarity(theta, order)
        upper = np.triu_indices(tasks, 1)
        total = np.zeros((rows, tasks))
        slope = np.zeros((size if derivatives else 0, rows, tasks))
        gathered = np.zeros((rows, tasks, len(upper[0]))) if features else None
        initial, dinitial = 0.0, np.zeros(size)
        chance = math.exp(self.layout.value(theta, "interference")) if self.interference else 0.0
        diffusion = math.exp(self.layout.value(theta, "diffusion")) if self.diffusion else 0.0
        all_shares = []
        layout = self.layout
        for channel in range(1, self.channels + 1):
            v = math.exp(layout.value(theta, "variance_ratio_w", channel))
            weight = math.exp(layout.value(theta, "weight", channel))
            S = np.zeros((slots, tasks + 1, tasks + 1))
            S[0, :tasks, :tasks] = np.eye(tasks)
            if pairs is not None:
                S[0][upper] = pairs
                S[0].T[upper] = pairs
            # The first tangent is that by log v, whose start is v as well.
            S[: min(2, slots), tasks, tasks] = v
            out = np.zeros((1 + len(kinds) if derivatives else 1, rows, tasks))
            shares = np.empty((order.size, 2))
            phi = np.array([layout.value(theta, kind, channel) for kind in TANGENTS[1:]])
            sensitivity_kernel()(
                S, ratio, dratio, phi, chance, diffusion, schedule, self.drift == "loss", 1 + v, v / (1 + v),
                steps, last, place, counts, out, shares,
            )  # fmt: skip
            all_shares.append(shares)
            total += weight * out[0]
            initial += weight * (1 + v) / 2
            if gathered is not None:
                feature_kernel()(weight, ratio, shares, schedule, gathered)
            if not derivatives:
                continue
            for slot, kind in enumerate(kinds, start=1):
                at = layout.place(kind, channel)
                if at is not None:
                    slope[at] += weight * out[slot]
            at = layout.place("weight", channel)
            if at is not None:
                slope[at] = weight * out[0]
                dinitial[at] = weight * (1 + v) / 2
            at = layout.place("variance_ratio_w", channel)
            if at is not None:
                dinitial[at] = weight * v / 2
        x = np.maximum(total / initial, LEAST)
        link, own = LINKS[self.link], self._link_place()
        parameter = 1.0 if own is None else math.exp(theta[own])
        farthest = link.farthest(parameter)
        diverged = rows
        # Similarities far below 0 diverge. No fit ends there, but searches look, and every number that they
        # see must have a finite square: all losses stay where they are from then on.
        if not x.max() <= farthest:  # or is NaN
            diverged = int((~(x <= farthest)).any(1).argmax())
            x[diverged:], slope[:, diverged:] = farthest, 0.0
        linked = link.at(x, parameter)
        dx = (slope - x * dinitial[: len(slope), None, None]) / initial * linked.by_distance
        if own is not None and derivatives:
            dx[own] += linked.by_parameter
        dx[:, diverged:] = 0.0
        if gathered is not None:
            gathered[diverged:] = 0.0
            gathered *= (linked.by_distance / initial)[:, :, None]
        return Evaluation(linked.value, dx, gathered, all_shares)

    def _link_place(self) -> int | None:
        """Where the link's parameter stands in theta."""
        term = LINKS[self.link].term
        return None if term is None else self.layout.place(term.kind)
