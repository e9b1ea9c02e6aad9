"""Figures 8 and 18: how gradients, losses, weights and activations are organised by the order of training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from figures.panels.matrices import Matrix, ToyState
from llm.runs.finished import Run
from toymodel.theory.trajectories import (
    cosines,
    gradient_cosines,
    pairwise_recovery,
    weight_residual_cosines,
    weight_step_gram,
)

__all__ = ["PANELS", "toy_pairwise"]

Floats = NDArray[np.float64]
# Panel d is of three epochs, and panel c begins with the second.
_ACTIVATION_EPOCHS = 3


def _toy_gradients(state: ToyState) -> Floats:
    return gradient_cosines(state.moments, state.gram)


def toy_pairwise(state: ToyState) -> Floats:
    """Fall of each loss (column) when the toy is trained on each task (row)."""
    return pairwise_recovery(state.moments, state.gram, state.slow, state.fast)


def pairwise(run: Run) -> Floats:
    """The same in a run."""
    return np.asarray(run.probe("pairwise")["recovery"])


def _toy_residuals(state: ToyState) -> Floats:
    tasks = state.order.shape[1]
    steps = weight_step_gram(state.q, state.w, state.order, state.gram, state.slow)
    rows, found = weight_residual_cosines(steps, tasks)
    # As for the network: from the second epoch on; rows whose window the run's end cuts have no value.
    whole = np.full((state.order.size,) * 2, np.nan)
    whole[np.ix_(rows[rows >= 1] - 1, rows[rows >= 1] - 1)] = found[np.ix_(rows >= 1, rows >= 1)]
    return whole[tasks:, tasks:]


def _toy_activations(state: ToyState) -> Floats:
    return cosines(state.q[: 1 + _ACTIVATION_EPOCHS * state.order.shape[1], 0])


def _activations(run: Run) -> Floats:
    states = 1 + _ACTIVATION_EPOCHS * run.config.num_documents
    return np.asarray(run.probe("activations")["cosines"][0][:states, :states])


def _residuals(run: Run) -> Floats:
    first = run.config.num_documents
    return np.asarray(run.probe("residuals")["cosines"][first:, first:])


_FALL = "Fall of the loss on one document when the trained network is trained on another for one episode"

PANELS = {
    panel.figure: panel
    for panel in (
        Matrix(
            "8a", "fig8", "gradients", "gradients",
            "Cosine similarity of the documents' loss gradients after training, at the attention of the "
            "middle block (the toy's: of w); colours saturate on the diagonal, which is 1.",
            "Cosines have no unit.",
            read=lambda run: run.probe("gradients")["cosines"], toy=_toy_gradients,
            axes_labels=("document", "document"), bar="cosine",
        ),
        Matrix(
            "8b", "fig8", "pairwise", "pairwise recovery", f"{_FALL}; colours saturate on the diagonal.",
            "In nats per token.",
            read=pairwise, toy=toy_pairwise, axes_labels=("evaluated on", "trained on"),
            bar="fall of the loss",
        ),
        Matrix(
            "8c", "fig8", "residuals", "weight residuals",
            "Cosine similarity of weight residuals (paper eq. 2) after every episode from the second epoch "
            "on; the toy has none where its window is cut.",
            "Cosines have no unit.",
            read=_residuals, toy=_toy_residuals, axes_labels=("episode", "episode"), bar="cosine",
            limits="whole", first=lambda config: config.num_documents + 1,
        ),
        Matrix(
            "8d", "fig8", "activations", "activations of document 1",
            "Cosine similarity of the last-layer activations of document 1 before training and after every "
            "episode of three epochs (the toy's: of P x). Colours begin at each one's 2nd percentile.",
            "Cosines have no unit.",
            read=_activations, toy=_toy_activations, axes_labels=("episode", "episode"), bar="cosine",
            limits="one-sided", first=lambda config: 0,
        ),
        *(
            Matrix(
                figure, "fig18", "pairwise", f"{label} documents",
                f"{_FALL}, T = {label}; colours saturate on the diagonal.", "In nats per token.", label,
                read=pairwise, toy=toy_pairwise, axes_labels=("evaluated on", "trained on"),
                bar="fall of the loss",
            )
            for figure, label in (("18a", "50"), ("18b", "100"), ("18c", "200"))
        ),
    )
}  # fmt: skip
"""By the paper's figure; Fig. 18 is 8b in longer sequences of documents."""
