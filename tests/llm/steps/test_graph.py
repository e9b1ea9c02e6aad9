"""Recorded steps give the numbers of plain ones; what cannot be recorded says so and runs all the same."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import llm.steps.graph
from llm import RunConfig, run
from llm.steps.graph import CudaRecorder, GraphStep, make_step, why_eager
from llm.steps.optimizers import make_optimizer
from llm.steps.step import EagerStep
from llm.tasks.language import language_adapter
from tests.llm.given import Breakdown
from tests.llm.recorders import Stored, Tape

TINY = RunConfig(
    width=32, depth=2, heads=2, feed_forward=48, num_documents=4, context=16, steps=3, epochs=2, seed=3,
    lr=0.03, device="cpu",
)  # fmt: skip
KINDS = {
    "sgd": {},
    "sgd in products": {"version": 2, "freeze_blocks": 1},
    "adam": {"optimizer": "adam", "lr": 1e-3},
    "adam by joint products": {"optimizer": "adam", "lr": 1e-3, "version": 2},
    "adam carried on": {"optimizer": "adam", "lr": 1e-3, "reset_optimizer": False},
    "adamw": {"optimizer": "adamw", "lr": 1e-3},
    "frozen": {"freeze_blocks": 1, "freeze_embeddings": True},
    "masked and shifted": {"mask_probability": 0.3, "window_shift": 4},
    "other order": {"schedule": "reshuffled", "steps": 1},
    "bfloat16": {"precision": "bf16"},
    "padded": {"context": 1200},
}


def parts(config, device="cpu"):
    adapter = language_adapter(config, torch.device(device))
    return adapter, make_optimizer(config, adapter.model)


def with_recorder(monkeypatch, recorder):
    steps = []

    def make(config, adapter, optimizer, device):
        steps.append(GraphStep(adapter, optimizer, recorder))
        return steps[-1]

    monkeypatch.setattr(llm.steps.graph, "make_step", make)
    return steps


@pytest.mark.parametrize(
    ("recorder", "kind"), [(Stored, "sgd"), (Stored, "adam"), *[(Tape, k) for k in KINDS]]
)
def test_runs_are_those_of_plain_steps(tmp_path, monkeypatch, kind, recorder):
    config = dataclasses.replace(TINY, **KINDS[kind])
    if kind == "padded":
        config = dataclasses.replace(config, epochs=1, steps=1)
    plain = run(config, tmp_path / "plain")
    used = recorder()
    steps = with_recorder(monkeypatch, used)
    comp = run(config, tmp_path / "graph")
    assert used.recorded == 2  # one step, one evaluation
    assert used.warmed == 6
    assert steps[0].execution == comp.manifest["execution"] == "graph"
    assert plain.manifest["execution"] == "eager (no CUDA on this device (cpu))"
    assert np.ptp(plain.losses.values, axis=0).min() > 0
    np.testing.assert_array_equal(comp.losses.values, plain.losses.values)


class Mute(Tape):
    """Records, and its first replay does nothing."""

    def record(self, work):
        replays = iter([lambda: None])
        replay = super().record(work)
        return lambda: next(replays, replay)()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_warming_up_and_recording_change_nothing(optimizer):
    config = dataclasses.replace(TINY, optimizer=optimizer, reset_optimizer=False)
    adapter, descent = parts(config)
    plain = EagerStep(adapter, descent)
    plain.train(1, 2, 0)
    used = Mute()
    step = GraphStep(adapter, descent, used)
    state = descent.state()
    kept = [*adapter.model.parameters(), *state.values()]
    before = [(t.data_ptr(), t.detach().clone()) for t in kept]
    random = torch.get_rng_state()
    step.train(0, 1, 1)
    assert (used.warmed, used.recorded) == (3, 1)
    for tensor, (address, value) in zip(kept, before, strict=True):
        assert tensor.data_ptr() == address
        assert torch.equal(tensor, value)
    assert all(p.grad is None for p in adapter.model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    step.train(0, 1, 1)
    assert not torch.equal(kept[0], before[0][1])
    assert [t.data_ptr() for t in kept] == [address for address, _ in before]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_joined_matrices_stay_where_they_were_recorded(other_checkpoints, optimizer):
    config = RunConfig(model=str(other_checkpoints["llama"]), context=12, num_documents=3, steps=2, lr=1e-3,
                       optimizer=optimizer, version=2, device="cpu")  # fmt: skip
    used = Tape()
    adapter, descent = parts(config)
    step = GraphStep(adapter, descent, used)
    comp, (ref_adapter, ref_descent) = [], parts(config)
    ref = EagerStep(ref_adapter, ref_descent)
    for task in (0, 1, 0):
        comp.append(step.evaluate())
        assert torch.equal(comp[-1], ref.evaluate())
        step.train(task, 2)
        ref.train(task, 2)
    assert used.recorded == 2
    assert not torch.equal(comp[0], comp[-1])


def test_a_result_outlives_later_replays():
    adapter, descent = parts(TINY)
    step = GraphStep(adapter, descent, Tape())
    first = step.evaluate()
    value = first.clone()
    step.train(2, 3)
    assert step.evaluate()[2] < value[2]
    assert torch.equal(first, value)


def test_moved_parameters_are_recorded_again():
    adapter, descent = parts(TINY)
    used = Tape()
    step = GraphStep(adapter, descent, used)
    step.train(0, 1)
    weight = adapter.model.get_output_embeddings().weight
    weight.data = weight.data.clone()
    before = weight.detach().clone()
    step.train(0, 1)
    assert used.recorded == 2
    assert not torch.equal(weight, before)


class Waits:
    """An adapter whose loss looks at its own value, which no recording can hold."""

    def __init__(self, inner):
        self.inner, self.model = inner, inner.model
        self.load, self.losses, self.tasks = inner.load, inner.losses, inner.tasks

    def loss(self):
        loss = self.inner.loss()
        return loss if loss.item() > 0 else loss * 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_failed_recording_falls_back_to_the_same_numbers(capsys, optimizer):
    # Networks that are written out never ask for the loss; with dropout they are not.
    config = dataclasses.replace(TINY, optimizer=optimizer, dropout=True)
    adapter, descent = parts(config)
    EagerStep(adapter, descent).train(0, 4)
    expected = adapter.losses()
    adapter, descent = parts(config)
    step = GraphStep(Waits(adapter), descent, Tape())
    step.evaluate()
    step.train(0, 4)
    assert torch.equal(step.evaluate(), expected)
    error = capsys.readouterr().err
    reason = "operation not permitted when stream is capturing: _local_scalar_dense"
    assert error == f"reawaken: steps without a graph: {reason}\n"
    assert step.execution == f"eager steps ({reason})"


def test_without_memory_for_a_recording(capsys):
    class Full(Stored):
        def record(self, work):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words.")

    adapter, descent = parts(TINY)
    step = GraphStep(adapter, descent, Full())
    before = step.evaluate()
    step.train(0, 1)
    assert step.evaluate()[0] < before[0]
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert step.execution.count("CUDA out of memory. Tried to allocate 2.00 GiB.") == 2
    assert "More words" not in step.execution


def test_why_not():
    assert why_eager(TINY, torch.device("cpu")) == "no CUDA on this device (cpu)"
    assert "dropout" in why_eager(dataclasses.replace(TINY, dropout=True), torch.device("cuda"))
    assert why_eager(dataclasses.replace(TINY, mask_probability=0.1), torch.device("cuda")) is None


def test_dropout_on_a_gpu_is_said(capsys):
    config = dataclasses.replace(TINY, dropout=True)
    step = make_step(config, None, None, torch.device("cuda"))
    assert isinstance(step, EagerStep)
    assert capsys.readouterr().err == (
        "reawaken: steps without a graph: dropout draws new random numbers in every step\n"
    )
    assert step.execution.startswith("eager (dropout")


def test_probes_with_recorded_steps(tmp_path, monkeypatch):
    probes = ("gradients", "pairwise", "residuals", "pca", "activations", "updates")
    config = dataclasses.replace(TINY, probes=probes, optimizer="adam", lr=1e-3)
    plain = run(config, tmp_path / "plain")
    with_recorder(monkeypatch, Tape())
    comp = run(config, tmp_path / "graph")
    np.testing.assert_array_equal(comp.losses.values, plain.losses.values)
    for name in probes:
        for key, ref in plain.probe(name).items():
            np.testing.assert_array_equal(comp.probe(name)[key], ref, err_msg=f"{name}/{key}")


def test_resumed_in_the_middle(tmp_path, monkeypatch):
    config = dataclasses.replace(TINY, optimizer="adam", lr=1e-3, reset_optimizer=False)
    whole = run(config, tmp_path / "whole")

    with_recorder(monkeypatch, Tape())
    with pytest.raises(OSError, match="went down"):
        run(config, tmp_path / "run", trackers=[Breakdown(5)])
    again = run(config, tmp_path / "run")
    np.testing.assert_array_equal(again.losses.values, whole.losses.values)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["execution"] == "graph"


@pytest.fixture
def gpu():
    """The benchmark as a module."""
    path = Path(__file__).parents[3] / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_benchmark_measures_every_way_of_executing(tmp_path, capsys, gpu):
    tiny = ["--sizes", "embedded", "--device", "cpu", "--context", "8", "--documents", "2"]
    out = tmp_path / "gpu.json"
    more = ["--steps", "1", "--repeats", "3", "--optimizer", "adam", "--together", "2", "--profile"]
    assert gpu.main([*tiny, *more, "--out", str(out)]) == 0
    (result,) = json.loads(out.read_text())["results"]
    assert result["agreement"]["eager"] < 1e-5
    work, bounds = result["work"], result["bounds_ms"]
    assert bounds["step"] == 1000 * max(
        work["step_operations"] / result["matrix_rate"], work["step_bytes"] / result["copy_bandwidth"]
    )
    for name in ("plain", "eager"):
        assert result[name]["step_ms"] == sorted(result[name]["step_ms_repeats"])[1]
        assert result[name]["episode_ms"] == result[name]["step_ms"] + result[name]["evaluation_ms"]
    parts = result["evaluation"]["parts"]
    assert list(parts) == ["whole", "network", "attention, of it", "output layer", "loss"]
    assert parts["whole"]["bound_ms"] == bounds["evaluation"]
    assert all(part["ms"] > 0 and part["bound_ms"] > 0 for part in parts.values())
    assert len(result["evaluation"]["batches"]) == 4
    assert result["eager"]["reset_bound_ms"] > 0
    assert result["eager"]["evaluation_kernels_ms"]
    beside = result["together"]
    assert (beside["number"], beside["ratio"]) == (2, beside["round_ms"] / beside["alone_ms"])
    assert {"imports", "documents", "weights", "hash", "first step, eager"} <= set(result["setup_s"])
    lines = capsys.readouterr().out.splitlines()
    assert sum("2 together: " in line for line in lines) == 2
    assert [line.split()[2] for line in lines if line.startswith("embedded")] == ["plain", "eager"] * 2


def test_the_benchmark_of_set_up_alone(tmp_path, capsys, gpu):
    out = tmp_path / "setup.json"
    assert gpu.main(["--sizes", "embedded", "--device", "cpu", "--setup", "--out", str(out)]) == 0
    (result,) = json.loads(out.read_text())["results"]
    assert list(result["setup_s"]) == list(result["setup_cpu_s"])
    assert {"weights", "hash", "resuming: read and check", "resuming: put in place"} <= set(result["setup_s"])
    said = capsys.readouterr().out
    assert all(stage in said for stage in result["setup_s"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_benchmark_without_a_gpu(gpu, capsys):
    assert gpu.main(["--sizes", "160m"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gpu.py: --device cuda: ")
    assert len(error.splitlines()) == 1


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@needs_gpu
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_graphs_give_the_numbers_of_plain_steps(tmp_path, monkeypatch, capsys, kind):
    config = dataclasses.replace(TINY, **KINDS[kind], device="cuda")
    graph = run(config, tmp_path / "graph")
    assert graph.manifest["execution"] == "graph"
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(llm.steps.graph, "make_step", lambda config, *parts: EagerStep(*parts[:2]))
    plain = run(config, tmp_path / "plain")
    np.testing.assert_allclose(graph.losses.values, plain.losses.values, rtol=1e-5)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu, id="gpu")])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_second_version_is_the_first_to_rounding(
    other_checkpoints, tmp_path, capsys, name, optimizer, device
):
    """From the same weights; on a GPU with its norms and attention in kernels of their own, in graphs."""
    config = RunConfig(
        model=str(other_checkpoints[name]), weights="pretrained", context=16, num_documents=3, steps=2,
        epochs=2, lr=1e-3, optimizer=optimizer, device=device,
    )  # fmt: skip
    first, second = (run(dataclasses.replace(config, version=v), tmp_path / str(v)) for v in (1, 2))
    assert "graph" not in capsys.readouterr().err
    assert "written out" in second.manifest["forward"]
    assert "written out" not in first.manifest["forward"]
    if device == "cuda":
        assert second.manifest["execution"] == "graph"
    np.testing.assert_allclose(second.losses.values, first.losses.values, atol=5e-4)
    assert np.ptp(first.losses.values, axis=0).min() > 0.005


@needs_gpu
def test_on_a_gpu_nothing_is_added_to_what_plain_steps_keep():
    config = dataclasses.replace(TINY, width=256, depth=6, heads=4, feed_forward=1024, device="cuda")
    peaks = []
    for graph in (False, True):
        adapter, descent = parts(config, "cuda")
        device = torch.device("cuda")
        step = GraphStep(adapter, descent, CudaRecorder(device)) if graph else EagerStep(adapter, descent)
        step.train(0, 2)
        step.evaluate()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        step.train(1, 3)
        step.evaluate()
        torch.cuda.synchronize()
        peaks.append(torch.cuda.memory_stats()["reserved_bytes.all.peak"])
        del adapter, descent, step
    assert peaks[1] < 1.5 * peaks[0]
