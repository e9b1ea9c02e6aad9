"""What `benchmarks/gpu.py` takes apart: set-up, evaluation, an optimizer's reset, and runs side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from llm.config import RunConfig
from llm.cost.device_rates import timed
from llm.cost.work import Work
from llm.networks.fast.loss import token_losses
from llm.networks.models import build_model
from llm.networks.weights import weight_hash_later
from llm.runs.checkpoint import Checkpoint, Checkpoints
from llm.runs.folder import RunFolder
from llm.steps.graph import CudaRecorder
from llm.tasks import language
from llm.training.session import Session, make_session

__all__ = ["Stages", "build_adapter", "evaluation_parts", "setup_and_resume", "side_by_side"]


class Stages:
    """Seconds of each stage of something, in order; on a GPU each ends when the GPU is done.

    Beside them the CPU's seconds, of all its cores: they hardly change with what else a machine does.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self._device = device

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter(), time.process_time()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[name] = time.perf_counter() - began[0]
        self.cpu_seconds[name] = time.process_time() - began[1]


def build_adapter(config: RunConfig, device: torch.device, stages: Stages) -> language.LanguageAdapter:
    """What `llm.tasks.language.language_adapter` does, stage by stage."""
    from llm.data.documents import load_documents

    with stages.stage("imports"):
        importlib.import_module("transformers").AutoModelForCausalLM  # noqa: B018
        importlib.import_module("transformers.models.gpt_neox.modeling_gpt_neox")
    with stages.stage("documents"):
        documents = load_documents(config)
    with stages.stage("weights"):
        model = build_model(config, documents.vocabulary)
    with stages.stage("to the device"):
        digest = weight_hash_later(model, config.version, device)
        model = model.to(device)
    with stages.stage("hash"):  # what is left of it on a GPU, where it is made meanwhile
        digest()
    with stages.stage("buffers and joint matrices"):
        return language.LanguageAdapter(config, model, documents, device, digest)


def setup_and_resume(config: RunConfig, device: torch.device) -> dict[str, dict[str, float]]:
    """Each stage before the first episode, and of those that going on from a checkpoint adds."""
    stages = Stages(device)
    adapter = build_adapter(config, device, stages)
    weights = {name: p.detach() for name, p in adapter.model.named_parameters() if p.requires_grad}
    with tempfile.TemporaryDirectory() as place:
        checkpoints = Checkpoints(Path(place) / "checkpoint")
        rows = {"losses": np.zeros((2, config.num_documents))}
        with stages.stage("(a checkpoint is written)"):
            checkpoints.save(Checkpoint(1, rows, weights))
        with stages.stage("resuming: read and check"):
            found, note = checkpoints.load()
        assert found is not None, note
        with stages.stage("resuming: put in place"), torch.no_grad():
            for name, tensor in weights.items():
                tensor.copy_(found.weights[name])
    return {"setup_s": stages.seconds, "setup_cpu_s": stages.cpu_seconds}


def evaluation_parts(
    adapter: Any, config: RunConfig, device: torch.device, rates: dict[str, float], work: Work, repeats: int
) -> dict[str, Any]:
    """Milliseconds of an evaluation's parts, each beside what it cannot go below; and other batch sizes.

    Every part is timed as it runs in a run: on a GPU as a graph, on inputs of the same shape. What is left
    over is the gathering of rows between the parts.
    """
    data, head, model = adapter._evaluated, adapter._head, adapter.model
    rows = data.tokens.numel()
    width, vocabulary, blocks = (getattr(model.config, name) for name in
                                 ("hidden_size", "vocab_size", "num_hidden_layers"))  # fmt: skip
    heads = model.config.num_attention_heads
    predicted = int(data.counts.sum())
    with torch.inference_mode():
        query = torch.randn(len(data.tokens), heads, data.tokens.shape[1], width // heads, device=device)
        hidden = torch.randn(predicted, width, device=device)
        targets = torch.zeros(predicted, dtype=torch.int64, device=device)
        positions = max(1, language._BUDGET[device.type] // 4 // vocabulary // 64) * 64
        room = torch.empty(min(positions, predicted), vocabulary, device=device)

    def attention() -> None:
        for _ in range(blocks):
            torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)

    def output() -> None:
        for some in hidden.split(positions):
            torch.mm(some, head.weight.t(), out=room[: len(some)])

    def loss() -> None:
        for some in targets.split(positions):
            token_losses(room[: len(some)], some)

    rate, bandwidth = rates["matrix_rate"], rates["copy_bandwidth"]
    table = 4 * vocabulary * width
    logits = 4 * predicted * vocabulary
    scores = 2 * blocks * width * rows * (data.tokens.shape[1] + 1)
    outer = 2 * predicted * width * vocabulary
    least = {
        "whole": work.least_seconds(rate, bandwidth)[1],
        "network": max((work.evaluation_operations - 2 * rows * width * vocabulary) / rate,
                       (work.evaluation_bytes - table) / bandwidth),
        "attention, of it": max(scores / rate, 16 * blocks * rows * width / bandwidth),
        "output layer": max(outer / rate, (table + logits) / bandwidth),
        "loss": 2 * logits / bandwidth,
    }  # fmt: skip
    works: dict[str, Callable[[], Any]] = {
        "whole": adapter.losses,
        "network": lambda: adapter._plain_body(data.tokens),
        "attention, of it": attention,
        "output layer": output,
        "loss": loss,
    }
    found: dict[str, Any] = {"parts": {}, "batches": {}}
    with torch.inference_mode():
        for name, part in works.items():
            if name in ("output layer", "loss") and not isinstance(head, torch.nn.Linear):
                continue
            found["parts"][name] = {
                "ms": 1000 * _typical(part, device, repeats), "bound_ms": 1000 * least[name],
            }  # fmt: skip
        before = language._BUDGET[device.type]
        try:
            for factor in (1 / 16, 1 / 4, 1, 4):
                language._BUDGET[device.type] = int(before * factor)
                megabytes = int(before * factor) >> 20
                found["batches"][f"{megabytes} MiB"] = 1000 * _typical(adapter.losses, device, repeats)
        finally:
            language._BUDGET[device.type] = before
    return found


def _typical(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Median seconds, of a graph where there is a GPU."""
    if device.type == "cuda":
        recorder = CudaRecorder(device)
        recorder.warm_up(work)
        work = recorder.record(work)
    return median(timed(work, device, repeats))


def side_by_side(config: RunConfig, device: torch.device, number: int, episodes: int) -> dict[str, float]:
    """Milliseconds of an episode of one run alone, and of a round of several side by side.

    Sessions of `llm.training` in folders of their own, seeds counted up; the first episode, which records, is
    left out, and so is all that a run writes.
    """
    with tempfile.TemporaryDirectory() as place:
        sessions = [
            make_session(dataclasses.replace(config, seed=config.seed + k), RunFolder(Path(place) / str(k)))
            for k in range(number)
        ]
        alone = _rounds(sessions[:1], episodes)
        beside = _rounds(sessions, episodes)
    return {"number": number, "alone_ms": 1000 * alone, "round_ms": 1000 * beside, "ratio": beside / alone}


def _rounds(sessions: list[Session], episodes: int) -> float:
    """Median seconds of a round of episodes, taken in turns as `llm.training.loop` does."""
    for session in sessions:
        with session.environment.active():
            session.start_episode()
    seconds = []
    for _ in range(1 + episodes):
        began = time.perf_counter()
        for session in sessions:
            with session.environment.active():
                session.end_episode()
                session.start_episode()
        seconds.append(time.perf_counter() - began)
    for session in sessions:
        with session.environment.active():
            session.end_episode()
    return median(seconds[1:])
