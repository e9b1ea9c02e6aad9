"""Measurements beside the losses: gradients, weights, activations, and what training on one does to others.

Each probe is a function of a network and its documents, usable by itself, and a class that runs it with the
training (`Probe`). Nothing they do shows in the losses: a run gives the same numbers with and without them.
Imports tasks and steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm.networks.layers import Layer, attention_layer, select_layer
from llm.probes.activations import Activations, last_activations
from llm.probes.base import Probe, cosines
from llm.probes.gradients import Gradients, gradient_gram
from llm.probes.pairwise import Pairwise, pairwise_recovery
from llm.probes.trajectory import Trajectory, principal_components, window_residuals
from llm.probes.updates import Updates
from llm.probes.weights import PrincipalComponents, Residuals, WeightTrajectory

if TYPE_CHECKING:
    from llm.config import RunConfig

__all__ = [
    "Layer",
    "Probe",
    "Trajectory",
    "attention_layer",
    "cosines",
    "gradient_gram",
    "last_activations",
    "make_probes",
    "pairwise_recovery",
    "principal_components",
    "select_layer",
    "window_residuals",
]


def make_probes(config: RunConfig) -> list[Probe]:
    """The probes of a configuration, in its order, each once.

    Without ``probe_layer`` each looks where the paper does: `gradients` at the attention of the middle block,
    `residuals` at all parameters, `pca` at the output layer.
    """
    residuals = WeightTrajectory(config.probe_layer or "all")
    pca = WeightTrajectory(config.probe_layer or "output")
    if residuals.layer == pca.layer:
        pca = residuals
    documents = config.probe_documents
    known: dict[str, Probe] = {
        probe.name: probe
        for probe in (
            Gradients(config.probe_layer),
            Pairwise(),
            Residuals(residuals),
            PrincipalComponents(pca),
            Activations(documents),
            Updates(documents),
        )
    }
    return [known[name] for name in dict.fromkeys(config.probes)]
