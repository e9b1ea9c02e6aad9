"""Figure 8: how gradients, losses, weights and activations are organised by the order of training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from figures.matrices import Matrix, ToyState
from toymodel.geometry import (
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


PANELS = {
    panel.figure: panel
    for panel in (
        Matrix(
            "8a",
            "fig8",
            "fig8",
            "gradients",
            lambda run: run.probe("gradients")["cosines"],
            _toy_gradients,
            ("document", "document"),
            "cosine",
            (-1, 1),
            "Cosine similarity of the documents' loss gradients after training, at the attention of the "
            "middle block (the toy's: of w).",
        ),
        Matrix(
            "8b",
            "fig8",
            "fig8",
            "pairwise recovery",
            lambda run: run.probe("pairwise")["recovery"],
            toy_pairwise,
            ("evaluated on", "trained on"),
            "fall of the loss",
            None,
            "Fall of the loss (nats per token) on one document when the trained network is trained on "
            "another for one episode; colours saturate on the diagonal.",
        ),
        Matrix(
            "8c",
            "fig8",
            "fig8",
            "weight residuals",
            lambda run: _from_second_epoch(run.probe("residuals")["cosines"], run.config.num_documents),
            _toy_residuals,
            ("episode", "episode"),
            "cosine",
            (-1, 1),
            "Cosine similarity of weight residuals (paper eq. 2) after every episode from the second "
            "epoch on; the toy has none where its window is cut.",
            lambda config: config.num_documents + 1,
        ),
        Matrix(
            "8d",
            "fig8",
            "fig8",
            "activations of document 1",
            lambda run: run.probe("activations")["cosines"][0][
                : 1 + _ACTIVATION_EPOCHS * run.config.num_documents,
                : 1 + _ACTIVATION_EPOCHS * run.config.num_documents,
            ],
            _toy_activations,
            ("episode", "episode"),
            "cosine",
            (0, 1),
            "Cosine similarity of the last-layer activations of document 1 before training and after "
            "every episode of three epochs (the toy's: of P x).",
            lambda config: 0,
        ),
    )
}


def _from_second_epoch(values: Floats, tasks: int) -> Floats:
    return values[tasks:, tasks:]
