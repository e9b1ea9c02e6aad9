"""Milliseconds per gradient step and evaluation, against the plain loop and the hardware's bounds.

    python benchmarks/gpu.py --sizes 160m 410m 1b 2.8b llama-135m --precision ieee tf32 --out gpu.json
    python benchmarks/gpu.py --optimizer adam --whole-runs --out adam.json

The plain loop is the one of the paper's program: the library's model and loss as they come, `torch.optim`'s
step, one document at a time evaluated in batches of one with its loss fetched each time. Ours is measured
without and with CUDA graphs. All run in one process, from the same weights, on the same documents, and the
losses after one episode of each are compared.

Set-up is everything from a configuration to the first step: documents, weights, hash, recording, stage by
stage. An evaluation is taken apart, each part beside its own bound, and tried in other batch sizes. With
`--together 3` three runs side by side are measured against one, as `reawaken llm sweep --together 3` drives
them. With `--whole-runs` the whole of `llm.run` is timed as well, in a new folder, beside what the plain loop
needs for as many steps and evaluations by its own times (its set-up left out): the number that a user feels.

A file in `llm/cost/records/` is what `reawaken llm run --dry-run` estimates from.

The bounds are operations and bytes counted from shapes (`llm.cost.work`) over the rate of a large matrix
product and the bandwidth of a large copy, both measured here in the precision in force. Times are medians
over repeats, taken between CUDA events after a warm-up; every repeat is in the file.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))  # runs from the tree, installed or not

import torch
from gpu_parts import Stages, build_adapter, evaluation_parts, setup_and_resume, side_by_side
from llama_135m import write_folder

from llm.config import RunConfig
from llm.cost.device_rates import copy_bandwidth, matrix_rate, timed
from llm.cost.memory import large_pages
from llm.cost.work import Work, count_work
from llm.networks.precision import in_force, precision
from llm.runs.manifest import now
from llm.steps.graph import CudaRecorder, GraphStep
from llm.steps.optimizers import make_optimizer
from llm.steps.step import EagerStep
from llm.training.loop import run
from toymodel.base.files import atomic_write

LLAMA = "llama-135m"
SIZES = ("160m", "410m", "1b", "2.8b")


class PlainStep:
    """The loop one would first write, on a model as the library makes it."""

    def __init__(self, adapter: Any, config: RunConfig, device: torch.device) -> None:
        from transformers import AutoModelForCausalLM

        settings = {k: v for k, v in adapter.model.config.to_dict().items() if not k.startswith("_")}
        with device:
            self.model = AutoModelForCausalLM.from_config(
                type(adapter.model.config).from_dict(settings),
                dtype=torch.float32,
                attn_implementation="sdpa",
            )
        lacking, _ = self.model.load_state_dict(adapter.model.state_dict(), strict=False)
        assert not lacking, lacking  # ours may hold tables of its own, the library's must be complete
        self.model.config.use_cache = False
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[config.optimizer]
        self.optimizer = kind(self.model.parameters(), lr=config.rate)
        self.documents = [torch.from_numpy(ids)[None].to(device) for ids in tokens_of(adapter)]
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")

    def train(self, task: int, steps: int, episode: int = 0) -> None:
        self.model.train()
        for _ in range(steps):
            self.optimizer.zero_grad()
            with self.autocast:
                loss = self.model(input_ids=self.documents[task], labels=self.documents[task]).loss
            loss.backward()
            self.optimizer.step()

    def evaluate(self) -> torch.Tensor:
        self.model.eval()
        with torch.no_grad(), self.autocast:
            return torch.tensor([self.model(input_ids=x, labels=x).loss.item() for x in self.documents])


def tokens_of(adapter: Any) -> list[Any]:
    """The documents' own token ids, without padding."""
    documents = adapter.documents
    return [row[: int((row_labels >= 0).sum())] for row, row_labels in zip(
        documents.tokens, documents.labels, strict=True)]  # fmt: skip


def measure(
    config: RunConfig,
    device: torch.device,
    repeats: int,
    profile: bool,
    whole: bool,
    name: str,
    together: int = 1,
) -> dict[str, Any]:
    """Everything about one size in one precision."""
    with precision(config):
        found: dict[str, Any] = {
            "model": name, "precision": config.precision, "optimizer": config.optimizer,
            "version": config.version, **_ceilings(device),
        }  # fmt: skip
        stages = Stages(device)
        adapter = build_adapter(config, device, stages)
        found["setup_s"] = stages.seconds
        parameters = sum(p.numel() for p in adapter.model.parameters())
        work = count_work(config, parameters)
        found |= {"parameters": parameters, "in_force": in_force(config), "work": dataclasses.asdict(work)}
        found["bounds_ms"] = _bounds(work, found)
        start = {name: value.clone() for name, value in adapter.model.state_dict().items()}
        losses = {}
        for way, make in _variants(adapter, config, device).items():
            adapter.model.load_state_dict(start)
            with stages.stage(f"first step, {way}"):
                make().train(0, 1)
            adapter.model.load_state_dict(start)
            step = make()
            found[way], losses[way] = _one(step, config, device, repeats, found["copy_bandwidth"])
            found[way]["execution"] = getattr(step, "execution", "plain")
            if way != "plain":
                found[way]["steps"] = step.optimizer.form
            if profile:
                found[way]["kernels_ms"] = _kernels(lambda step=step: step.train(0, config.steps), device)
                found[way]["evaluation_kernels_ms"] = _kernels(step.evaluate, device)
            del step
            _free(device)
        found["agreement"] = {
            name: float(((value - losses["plain"]) / losses["plain"]).abs().max())
            for name, value in losses.items() if name != "plain"
        }  # fmt: skip
        found["evaluation"] = evaluation_parts(adapter, config, device, found, work, repeats)
        del adapter, start
        _free(device)
        if together > 1:
            found["together"] = side_by_side(config, device, together, repeats)
            _free(device)
    if whole:
        found["whole_run_s"] = _whole(config, found["plain"])
    return found


def _whole(config: RunConfig, plain: dict[str, Any]) -> dict[str, float]:
    """Seconds of a run from nothing to its finished folder, and of the plain loop by its times."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run(config, Path(folder) / "run")
        ours = time.perf_counter() - began
    episodes = config.epochs * config.num_documents
    theirs = (episodes * plain["episode_ms"] + plain["evaluation_ms"]) / 1000
    return {"ours": ours, "plain loop": theirs, "ratio": theirs / ours}


def _variants(adapter: Any, config: RunConfig, device: torch.device) -> dict[str, Callable[[], Any]]:
    variants: dict[str, Callable[[], Any]] = {
        "plain": lambda: PlainStep(adapter, config, device),
        "eager": lambda: EagerStep(adapter, make_optimizer(config, adapter.model)),
    }
    if device.type == "cuda":
        variants["graph"] = lambda: GraphStep(
            adapter, make_optimizer(config, adapter.model), CudaRecorder(device)
        )
    return variants


def _one(
    step: Any, config: RunConfig, device: torch.device, repeats: int, bandwidth: float
) -> tuple[dict, torch.Tensor]:
    """Times of one way of executing, and the losses after one episode from the common start."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step.train(0, config.steps)
    losses = step.evaluate().cpu()
    tasks = config.num_documents
    steps = timed(lambda: step.train(1 % tasks, config.steps), device, repeats)
    evaluations = timed(lambda: step.evaluate().cpu(), device, repeats)
    found: dict[str, Any] = {
        "step_ms": 1000 * median(steps) / config.steps,
        "evaluation_ms": 1000 * median(evaluations),
        "step_ms_repeats": [1000 * s / config.steps for s in steps],
        "evaluation_ms_repeats": [1000 * s for s in evaluations],
    }
    if isinstance(step, EagerStep | GraphStep) and step.optimizer.state():
        # Moments are written, 4 bytes each; nothing need be read.
        written = sum(moment.nbytes for moment in step.optimizer.state().values())
        resets = timed(step.reset_optimizer, device, repeats)
        found |= {"reset_ms": 1000 * median(resets), "reset_bound_ms": 1000 * written / bandwidth}
    found["episode_ms"] = config.steps * found["step_ms"] + found["evaluation_ms"]
    if device.type == "cuda":
        found["peak_bytes"] = torch.cuda.max_memory_reserved()
    return found, losses


def _ceilings(device: torch.device) -> dict[str, float]:
    return {"matrix_rate": matrix_rate(device), "copy_bandwidth": copy_bandwidth(device)}


def _bounds(work: Work, ceilings: dict[str, Any]) -> dict[str, float]:
    step, evaluation = work.least_seconds(ceilings["matrix_rate"], ceilings["copy_bandwidth"])
    return {"step": 1000 * step, "evaluation": 1000 * evaluation}


def _kernels(work: Callable[[], object], device: torch.device, number: int = 15) -> dict[str, float]:
    """Milliseconds by kernel, the longest first: where the time goes."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    work()
    activities = [ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU]
    with profiled(activities=activities) as watched:
        work()
    times = {
        event.key: (event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total)
        / 1000
        for event in watched.key_averages()
    }
    return dict(sorted(times.items(), key=lambda item: -item[1])[:number])


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def table(results: Sequence[dict[str, Any]]) -> str:
    """One line per size, precision and way of executing."""
    lines = [f"{'model':<14}{'precision':<10}{'':<7}{'ms/step':>9}{'x plain':>9}{'of bound':>9}"
             f"{'ms/eval':>10}{'x plain':>9}{'of bound':>9}{'loss diff':>11}"]  # fmt: skip
    for result in results:
        if "setup_cpu_s" in result:
            lines.append(f"{result['model']:<14}set-up, seconds (of the CPU's cores together):")
            lines += [f"{'':<14}{stage:<28}{taken:8.2f} ({result['setup_cpu_s'][stage]:.2f})"
                      for stage, taken in result["setup_s"].items()]  # fmt: skip
            continue
        if "error" in result:
            lines.append(f"{result['model']:<14}{result['precision']:<10}{result['error']}")
            continue
        plain, bounds = result["plain"], result["bounds_ms"]
        for name in [n for n in ("plain", "eager", "graph") if n in result]:
            one = result[name]
            gap = "" if name == "plain" else f"{result['agreement'][name]:.1e}"
            lines.append(
                f"{result['model']:<14}{result['precision']:<10}{name:<7}{one['step_ms']:>9.3g}"
                f"{plain['step_ms'] / one['step_ms']:>9.2f}{bounds['step'] / one['step_ms']:>9.0%}"
                f"{one['evaluation_ms']:>10.3g}{plain['evaluation_ms'] / one['evaluation_ms']:>9.2f}"
                f"{bounds['evaluation'] / one['evaluation_ms']:>9.0%}{gap:>11}"
            )
        setup = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in result["setup_s"].items())
        lines.append(f"{'':<14}set-up: {setup}")
        evaluation = result["evaluation"]
        parts = (f"{name} {one['ms']:.3g} ms, {one['bound_ms'] / one['ms']:.0%} of bound"
                 for name, one in evaluation["parts"].items())  # fmt: skip
        lines.append(f"{'':<14}evaluation: {'; '.join(parts)}")
        batches = ", ".join(f"{size} {ms:.3g} ms" for size, ms in evaluation["batches"].items())
        lines.append(f"{'':<14}evaluation in pieces of at most: {batches}")
        for name in ("eager", "graph"):
            if "reset_ms" in (one := result.get(name, {})):
                share = one["reset_bound_ms"] / one["reset_ms"]
                lines.append(f"{'':<14}reset, {name}: {one['reset_ms']:.3g} ms, {share:.0%} of bound")
        if beside := result.get("together"):
            times = f"{beside['round_ms']:.3g} ms a round, one alone {beside['alone_ms']:.3g} ms an episode"
            lines.append(f"{'':<14}{beside['number']} together: {times}, ratio {beside['ratio']:.2f}")
        if whole := result.get("whole_run_s"):
            times = f"{whole['ours']:.1f} s, the plain loop {whole['plain loop']:.1f} s"
            lines.append(f"{'':<14}whole run: {times}, ratio {whole['ratio']:.2f}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="Pythia sizes, 'embedded', 'llama-135m'")
    parser.add_argument("--precision", nargs="+", default=["ieee"], choices=["ieee", "tf32", "bf16"])
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "adam"])
    parser.add_argument("--documents", type=int, default=25)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--version", type=int, default=2, choices=[1, 2], help="of drawing and descending")
    parser.add_argument("--setup", action="store_true", help="set-up and resuming alone, on a GPU or a CPU")
    parser.add_argument("--whole-runs", action="store_true", help="also whole runs, from nothing")
    parser.add_argument("--together", type=int, default=1, help="so many runs side by side against one")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--profile", action="store_true", help="also the longest kernels of each")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    options = parser.parse_args(argv)
    if options.device == "cuda":
        from llm.steps.device import require_gpu
        from toymodel.base.errors import InputError

        try:
            require_gpu()
        except InputError as error:
            print(f"gpu.py: {error.in_flags({'device': '--device'})}", file=sys.stderr)
            return 2
    large_pages()  # as runs do
    device, scratch = torch.device(options.device), tempfile.TemporaryDirectory()
    report: dict[str, Any] = {
        "started": now(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu ({platform.machine()})",
        "torch": torch.__version__,
        "settings": {k: v for k, v in vars(options).items() if k != "out"},
        "results": [],
    }
    for size in options.sizes:
        for arithmetic in options.precision:
            name = size if size in ("embedded", LLAMA) else f"pythia-{size}"
            model = str(write_folder(Path(scratch.name) / LLAMA)) if name == LLAMA else name
            config = RunConfig(
                model=model, precision=arithmetic, version=options.version,
                optimizer=options.optimizer, num_documents=options.documents, context=options.context,
                steps=options.steps, device=options.device,
            )  # fmt: skip
            try:
                if options.setup:
                    result = {"model": name, "precision": arithmetic} | setup_and_resume(config, device)
                else:
                    result = measure(config, device, options.repeats, options.profile, options.whole_runs,
                                     name, options.together)  # fmt: skip
            except torch.OutOfMemoryError as error:
                result = {"model": name, "precision": arithmetic, "error": str(error).splitlines()[0]}
            _free(device)
            report["results"].append(result)
            print(table([result]), flush=True)
            if options.out:  # after every size: what is measured is kept, whatever comes after
                with atomic_write(options.out, "w") as file:
                    json.dump(report, file, indent=1)
    scratch.cleanup()
    print("\n" + table(report["results"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
