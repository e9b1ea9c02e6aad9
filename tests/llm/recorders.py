"""Recorders for machines without a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from llm.steps.graph import GraphStep
from llm.steps.optimizers import make_optimizer
from llm.steps.step import EagerStep

_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique_dim", "_unique2"}


def recorded_and_plain(adapter_of, config):
    """Losses of all tasks after two steps on one, plain and recorded; both begin from the same weights."""
    rows = []
    for kind in (EagerStep, lambda adapter, optimizer: GraphStep(adapter, optimizer, Tape())):
        adapter = adapter_of(config, torch.device("cpu"))
        step = kind(adapter, make_optimizer(config, adapter.model))
        step.train(1, 2)
        rows.append(step.evaluate())
        assert getattr(step, "execution", "graph") in ("graph", "eager")
    return rows


class Stored:
    """Keeps the work and does it again."""

    def __init__(self):
        self.warmed, self.recorded = 0, 0

    def warm_up(self, work):
        self.warmed += 1
        work()

    def record(self, work):
        self.recorded += 1
        return work


class Tape(Stored):
    """Records the operations themselves, as a CUDA graph does.

    A replay runs them again on the same memory without any Python of the work: what was computed on the host
    is fixed for good, what needs the device's answer is refused, and recording changes nothing.
    """

    def record(self, work):
        self.recorded += 1
        with _Recording() as recording:
            result = work()
        for tensor, value in reversed(recording.before):
            with torch.inference_mode():
                tensor.copy_(value)

        @torch.inference_mode()
        def replay():
            for function, args, kwargs, outputs in recording.tape:
                found = function(*args, **kwargs)
                sources = _memory((args, kwargs))
                for old, new in zip(_tensors(outputs), _tensors(found), strict=True):
                    if old.untyped_storage().data_ptr() not in sources:
                        old.copy_(new)
            return result

        return replay


class _Recording(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.tape, self.before = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function._schema.name.removeprefix("aten::")
        by_mask = name.startswith("index") and any(t.dtype == torch.bool for t in _tensors(args[1]))
        if name in _WAITS or by_mask:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        for position, argument in enumerate(function._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = args[position] if position < len(args) else kwargs.get(argument.name)
                self.before += [(t, t.clone()) for t in _tensors(value)]
        outputs = function(*args, **kwargs)
        self.tape.append((function, args, kwargs, outputs))
        return outputs


def _tensors(values):
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _memory(values):
    return {tensor.untyped_storage().data_ptr() for tensor in _tensors(values)}
