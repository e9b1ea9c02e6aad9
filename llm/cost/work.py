"""Operations and memory traffic that a step and an evaluation cannot do without, counted from shapes.

Over a rate and a bandwidth that are measured on the machine they bound the time of any implementation from
below; see ``benchmarks/gpu.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm.config import RunConfig

__all__ = ["Work", "count_work"]


# What architectures call the number of their experts.
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class Work:
    """Of one gradient step and one evaluation of all documents.

    Attributes:
        step_operations: multiplications and additions in matrix products.
        step_bytes: read and written in device memory.
        evaluation_operations: of the T forward passes.
        evaluation_bytes: each weight read once for all documents.
    """

    step_operations: int
    step_bytes: int
    evaluation_operations: int
    evaluation_bytes: int

    def episode_operations(self, config: RunConfig) -> int:
        """Of M steps and the evaluation after them."""
        return config.steps * self.step_operations + self.evaluation_operations

    def least_seconds(self, rate: float, bandwidth: float) -> tuple[float, float]:
        """Seconds that a step and an evaluation take at least.

        Args:
            rate: operations per second.
            bandwidth: bytes per second, read and written.
        """
        return (
            max(self.step_operations / rate, self.step_bytes / bandwidth),
            max(self.evaluation_operations / rate, self.evaluation_bytes / bandwidth),
        )


def count_work(config: RunConfig, parameters: int, forward: int | None = None) -> Work:
    """Count for a network of so many parameters in float32, all of them trained.

    Of a transformer for text, per token and weight a forward pass multiplies and adds once. Attention adds
    scores and mixtures over the C (C + 1) / 2 pairs that causality leaves. Backward, the gradients of inputs
    and of weights cost the same again each. Activations are not counted as traffic: ideal kernels would keep
    them in caches.

    Per weight of 4 bytes a step reads it forward and backward, writes its gradient, and then descends: plain
    descent reads both and writes the weight, 24 bytes in all; Adam also reads and writes two moments, 40. A
    table of embeddings is looked up rather than read, 8 bytes less. Descent in the backward products writes
    no gradient: forward, backward, and the weight read and written, 16 bytes, and of a table none.

    Args:
        config: what is trained.
        parameters: number of weights.
        forward: operations of a gradient step's forward pass, for networks of images and of experts, of which
            a token uses some.
    """
    table = 0
    if config.task == "language":
        from llm.networks.architecture import read_architecture

        architecture, _ = read_architecture(config)
        width, layers, length = architecture.hidden_size, architecture.num_hidden_layers, config.context
        table = architecture.vocab_size * width
        if not any(getattr(architecture, name, 0) for name in _EXPERTS):
            forward = 2 * (parameters - table) * length + 2 * layers * width * length * (length + 1)
    assert forward is not None, "operations of experts and of a network of images are counted by running it"
    in_products = config.optimizer == "sgd" and config.version >= 2
    per_weight = 16 if in_products else 24 if config.optimizer == "sgd" else 40
    return Work(
        step_operations=3 * forward,
        step_bytes=per_weight * parameters - (16 if in_products else 8) * table,
        evaluation_operations=config.num_documents * forward,
        evaluation_bytes=4 * (parameters - table),
    )
