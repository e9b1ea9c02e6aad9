"""Loss matrices drawn from a mechanism with known parameters and realistic noise."""

import numpy as np
from scipy.signal import lfilter

from toymodel import LossMatrix, cyclic_order


def noise(shape, rng, deviation=0.15, correlation=0.5, warm=50):
    """Autoregressive along the first axis, independent between documents; as residuals of real fits are."""
    raw = rng.normal(0, deviation * np.sqrt(1 - correlation**2), (shape[0] + warm, shape[1]))
    return lfilter([1.0], [1.0, -correlation], raw, axis=0)[warm:]


def truth(mechanism, rng, spread=0.7):
    """Parameters drawn from the (narrowed) priors."""
    return np.array([np.clip(rng.normal(t.centre, spread * t.width), t.low, t.high) for t in mechanism.terms])


def simulated(mechanism, theta, rng, tasks=15, epochs=4, deviation=0.15, order=None, pairs=None):
    """A noisy loss matrix; scales between 6 and 8 like log(vocabulary)."""
    order = cyclic_order(tasks, epochs) if order is None else order
    scales = rng.uniform(6, 8, tasks)
    shapes = mechanism.losses(theta, order, pairs)
    values = scales * shapes + (noise(shapes.shape, rng, deviation) if deviation else 0.0)
    return LossMatrix(values, order)


def made_by(form, values, tasks=8, epochs=5):
    """A run of a form's numbers in their own units, without noise: 7 nats before training."""
    order = cyclic_order(tasks, epochs)
    theta = np.array([term.free(value) for term, value in zip(form.terms, values, strict=True)])
    return LossMatrix(7 * form.losses(theta, order), order)
