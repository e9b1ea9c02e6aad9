"""Made-up runs: folders as a training run leaves them, without any training."""

import json

import numpy as np

from figures.evidence.counterparts import counterpart, toy_losses
from llm.presets import family


def write_run(root, config, *, losses=None, probes=True):
    """A finished run folder of that configuration; losses are the toy's unless given."""
    where = root / config.id
    (where / "probes").mkdir(parents=True)
    (where / "config.json").write_text(json.dumps(config.to_json()))
    manifest = {"git_commit": "abc123", "device": "cpu (made up)", "model": {"parameters": 12345}}
    (where / "manifest.json").write_text(json.dumps(manifest))
    losses.save(where / "losses.npz")
    if probes:
        for name in config.probes:
            np.savez(where / "probes" / f"{name}.npz", **probe(name, config))
    return where


def probe(name, config):
    """Results of the right shapes, with the structure that the paper describes."""
    T, n = config.num_documents, config.num_documents * config.epochs
    rng = np.random.default_rng(config.seed)
    apart = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    near = np.exp(-apart / 3) + 0.01 * rng.normal(size=(T, T))
    phase = 2 * np.pi * np.subtract.outer(np.arange(n), np.arange(n)) / T
    turn = 2 * np.pi * np.arange(n) / T
    fading = 0.5 ** (np.arange(n) / T)
    steps = fading * (1 + 0.01 * rng.normal(size=n))
    states = np.r_[0.0, np.arange(n) // T]
    return {
        "gradients": {"cosines": near, "gram": near, "layer": np.array("attention")},
        "pairwise": {"recovery": near, "after": 1 - near, "before": np.ones(T)},
        "residuals": {"cosines": np.cos(phase), "norms": np.ones(n), "episode": 1 + np.arange(n)},
        "pca": {
            "coordinates": np.stack([fading * np.cos(turn), fading * np.sin(turn), np.arange(n) / n], axis=1),
            "explained": np.array([0.5, 0.3, 0.1]),
        },
        "activations": {
            "cosines": 0.5 + 0.1 * np.minimum.outer(states, states)[None],
            "documents": np.array([0]),
        },
        "updates": {"weights": steps, "activations": steps[:, None], "documents": np.array([0])},
    }[name]


def write_family(root, name, seeds=(0, 1)):
    """Runs of every member of a family of presets, by the toy's counterpart or, without one, its default."""
    from dataclasses import replace

    from figures.evidence.counterparts import ToySetting

    for member in family(name):
        for seed in seeds:
            config = replace(member.config, seed=seed)
            setting = counterpart(member) or ToySetting()
            setting = replace(setting, tasks=config.num_documents, epochs=config.epochs)
            if not (root / config.id).exists():
                write_run(root, config, losses=toy_losses(setting, seed))
    return root
