"""GRPO with every weight of a Qwen3-VL-4B under a cap of device memory: peaks by phase beside the plan, and speed.

    python bench/device.py --shape 4b --cap 24GiB       on a GPU: the figures
    python bench/device.py --shape small                on a CPU: proves that the command runs

A random model of that shape is written to `--folder`. Episodes are counting at 448 x 448 pixels, in groups of eight;
generation by transformers, training in shards of one process with all state in host memory. Sampler and trainer hold
the device in turn. TRL's trainer does the same in a process of its own, first under the same cap, then without. Writes
bench/device_SHAPE.json and .md. On a CPU, whose allocator knows no cap, peaks come from torch's profiler.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch
from device_model import make_checkpoint
from made_on import commit, machine
from rich.console import Console

import envs  # noqa: F401  (registers the environment)
from agent.beginning import tokenizer_texts
from agent.cli import read_config
from agent.config import Config
from agent.engine.memory import Phase
from agent.engine.ranks import join
from agent.interrupt import Interrupt
from agent.parts import Parts, build, placement
from agent.plan.command import placement_of, read_bytes
from agent.plan.phases import make_plan
from agent.progress import Progress
from agent.run_directory import RunDirectory
from agent.train import train

HERE = Path(__file__).parent
GIB = 2**30
SIDES = {"4b": 448, "small": 256}
LIMITS = {"4b": (8, 256, 4096, 512), "small": (2, 24, 512, 64)}  # prompts, tokens a turn, of a micro-batch, of a chunk


def options_of(shape: str, folder: Path, accelerator: bool) -> dict[str, str]:
    prompts, turn, micro, chunk = LIMITS[shape]
    side = SIDES[shape]
    return {
        "model.path": str(folder / "model"),
        "model.gradient_checkpointing": "true",
        "env.kwargs": f"{{size: [{side}, {side}], objects: [4, 8], question: [colour], instructions: short}}",
        "engine.train": "fsdp2",
        "engine.fsdp2.offload": str(accelerator).lower(),
        "engine.offload": "all" if accelerator else "none",  # a CPU has nowhere else to put it
        "algorithm.entropy_coef": "0.001",  # so that every episode is trained on, whatever random weights score
        "cold_start.sources": "[]",
        "optimizer.lr": "1e-6",
        "optimizer.steps": "4",
        "optimizer.micro_batch_tokens": str(micro),
        "optimizer.logprob_chunk": str(chunk),
        "rollout.prompts_per_step": str(prompts),
        "rollout.group_size": "8",
        "rollout.max_turn_tokens": str(turn),
        "rollout.max_row_tokens": str((side // 32) ** 2 + 128 + turn),
        "evaluation.validate_every": "0",
        "run.folder": str(folder),
        "run.name": "run",
        "run.save_every": "1000",
        "run.record_every": "1000",
        "check.on_failure": "warn",
    }


def config_of(shape: str, folder: Path, accelerator: bool) -> Config:
    options = options_of(shape, folder, accelerator)
    return read_config("train", ["counting", *[part for n, v in options.items() for part in (f"--{n}", v)]])


class Clock:
    """Seconds of what is called, by name; the device's work included."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        started = self._now()
        try:
            yield
        finally:
            self.seconds[name] += self._now() - started

    def around(self, owner: Any, method: str, name: Callable[..., str]) -> None:
        plain = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.timing(name(*args)):
                return plain(*args, **kwargs)

        setattr(owner, method, timed)

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def measured(config: Config, parts: Parts, skipped: int = 1) -> dict[str, Any]:
    """Medians over the steps but the first ones."""
    clock, told = Clock(), []
    clock.around(parts.memory, "enter", lambda phase: f"entering {phase}")
    clock.around(parts.rollout_engine, "load_weights", lambda *_: "giving the sampler its weights")

    class Told(Progress):
        def step(self, step: int, metrics: dict[str, float]) -> None:
            told.append(dict(metrics) | {f"clock/{name}": s for name, s in clock.seconds.items()})
            clock.seconds.clear()

    directory = RunDirectory(config)
    train(config, parts, directory, 0, Told(Console(file=io.StringIO())), Interrupt())
    directory.close()
    counted = told[skipped:]
    names = {name for step in counted for name in step}
    return {name: statistics.median(step.get(name, 0.0) for step in counted) for name in sorted(names)}


def ours(shape: str, folder: Path, cap: int | None) -> dict[str, Any]:
    accelerator = torch.cuda.is_available()
    if accelerator and cap:
        torch.cuda.set_per_process_memory_fraction(cap / torch.cuda.get_device_properties(0).total_memory)
    config = config_of(shape, folder, accelerator)
    device, dtype = placement(config.model)
    side = SIDES[shape]
    plan = make_plan(config, dtype, [(side, side)], placement_of(config, accelerator, 1), cap)
    parts = build(config, folder / "run", None, join(config.engine.train))
    peaks: dict[str, float] = {}
    if accelerator:
        found = measured(config, parts)
        peaks = {phase: found.get(f"memory/{phase}/peak_mib", 0.0) / 1024 for phase in Phase}
    else:
        found = profiled(config, parts, peaks)
    parameters = sum(weight.numel() for weight in parts.vlm.model.parameters())
    parts.close()
    predicted = {phase: plan.total(phase) / GIB for phase in Phase}
    return {"device": device, "dtype": dtype, "parameters": parameters, "peaks": peaks, "predicted": predicted} | {
        "plan": {phase: {n: b / GIB for n, b in owners.items()} for phase, owners in plan.phases.items()},
        "metrics": found,
    }


def profiled(config: Config, parts: Parts, peaks: dict[str, float]) -> dict[str, Any]:
    """The run with torch's profiler around what each phase does in the second step, when the optimizer has its state;
    the most that was given out is added to what was there before."""
    from torch.profiler import ProfilerActivity, profile

    import agent.train as training

    def around(owner: Any, method: str, phase: str) -> None:
        plain, calls = getattr(owner, method), count()

        def watched(*args: Any, **kwargs: Any) -> Any:
            if next(calls) != 1:
                return plain(*args, **kwargs)
            before = sum(o.held() for o in parts.memory.owners)
            with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
                returned = plain(*args, **kwargs)
            changes = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
            now = most = 0
            for event in sorted(changes, key=lambda event: event.start_ns()):
                now += event.nbytes()
                most = max(most, now)
            # On a CPU what comes back to the device is only accounted for: it was there all the time.
            back = sum(o.held() for o in parts.memory.owners) - now
            peaks[phase] = (max(before, back) + most) / GIB
            return returned

        setattr(owner, method, watched)

    around(training, "collect_or_wait", Phase.ROLLOUT)
    around(training, "learn", Phase.UPDATE)
    around(parts.rollout_engine, "load_weights", Phase.SYNC)
    return measured(config, parts, skipped=2)


def theirs(shape: str, folder: Path, cap: int | None) -> dict[str, Any]:
    """TRL's GRPOTrainer on the same model, worlds and sizes: bfloat16 and gradient checkpointing on a GPU."""
    from transformers import AutoModelForImageTextToText
    from trl import GRPOConfig, GRPOTrainer

    from agent.bridges.trl_processor import picture_processor
    from agent.bridges.trl_single_turn import reward_function
    from agent.bridges.trl_worlds import to_dataset

    accelerator = torch.cuda.is_available()
    if accelerator and cap:
        torch.cuda.set_per_process_memory_fraction(cap / torch.cuda.get_device_properties(0).total_memory)
    config = config_of(shape, folder, accelerator)
    prompts, turn, micro, _ = LIMITS[shape]
    rows = max(1, micro // config.rollout.max_row_tokens)
    rows = max(count for count in range(1, rows + 1) if prompts * 8 % count == 0)
    steps, kwargs = 3, dict(config.env.kwargs)
    data = to_dataset(config.env.id, "train", prompts * steps, **kwargs)
    arguments = GRPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=prompts * 8 // rows,
        num_generations=8,
        max_completion_length=turn,
        max_steps=steps,
        learning_rate=1e-6,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        use_cpu=not accelerator,
        bf16=accelerator,
        gradient_checkpointing=True,
        beta=0.0,
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=AutoModelForImageTextToText.from_pretrained(
            folder / "model", dtype=torch.bfloat16 if accelerator else torch.float32
        ),
        reward_funcs=reward_function(config.env.id, folder / "model", **kwargs),
        args=arguments,
        train_dataset=data,
        processing_class=picture_processor(folder / "model"),
    )
    trainer.train()
    times = [line["step_time"] for line in trainer.state.log_history if "step_time" in line]
    peak = torch.cuda.max_memory_allocated() / GIB if accelerator else None
    return {"seconds of a step": statistics.median(times[1:]) if len(times) > 1 else None, "peak GiB": peak}


def in_a_process(arguments: list[str]) -> dict[str, Any]:
    """What a part of this file returns in a process of its own, or the end of what it said."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {
            "failed": next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "?")[:300]
        }
    return dict(json.loads(done.stdout.splitlines()[-1]))


def page(result: dict[str, Any]) -> str:
    run, found = result["ours"], result["ours"]["metrics"]
    config = config_of(result["shape"], Path(result["folder"]), run["device"].startswith("cuda"))
    episodes = config.rollout.prompts_per_step * config.rollout.group_size
    lines = [
        f"# One device for both: a Qwen3-VL in the shape {result['shape']!r}",
        "",
        f"`{result['command']}` at commit {result['commit']} on {result['machine']}, {run['device']} "
        f"({result['gpu']}), {run['dtype']}, {run['parameters']:,} parameters, cap {result['cap'] or 'none'}. A step "
        f"is {episodes} episodes of at most {config.rollout.max_turn_tokens} tokens with a picture of "
        f"{SIDES[result['shape']]} x {SIDES[result['shape']]} pixels. Medians of steps.",
        "",
        "| peak of a phase, GiB | measured | predicted | difference |",
        "|---|---|---|---|",
    ]
    for phase in Phase:
        peak, plan = run["peaks"].get(phase, 0.0), run["predicted"][phase]
        lines.append(
            f"| {phase} | {peak:.3f} | {plan:.3f} | {plan / peak - 1:+.1%} |"
            if peak
            else f"| {phase} | | {plan:.3f} | |"
        )
    lines += ["", "| | seconds |", "|---|---|"]
    lines += [
        f"| {name.split('/', 1)[1]} | {found[name]:.3f} |" for name in found if name.startswith(("seconds/", "clock/"))
    ]
    drawn = episodes * found["episode_tokens"]
    lines += [
        "",
        f"Rollout: {drawn / found['seconds/rollout']:,.0f} sampled tokens a second; update: "
        f"{drawn / found['seconds/update']:,.0f} trained tokens a second.",
        "",
        "| TRL's GRPOTrainer | |",
        "|---|---|",
    ]
    for name, of in result["trl"].items():
        lines.append(
            f"| {name} | "
            + ", ".join(
                f"{key}: {value if not isinstance(value, float) else round(value, 2)}" for key, value in of.items()
            )
            + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SIDES), default="small")
    parser.add_argument("--cap", default="")
    parser.add_argument("--folder", type=Path, default=Path("runs/device"))
    parser.add_argument("--part", choices=["ours", "trl"])
    given = parser.parse_args()
    cap = read_bytes(given.cap) if given.cap else None
    folder = given.folder.resolve()
    if given.part:
        said = sys.stdout
        sys.stdout = sys.stderr  # the last line of stdout is the result
        found = {"ours": ours, "trl": theirs}[given.part](given.shape, folder, cap)
        print(json.dumps(found), file=said)
        return
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    device = "cuda" if gpu else "cpu"
    texts = tokenizer_texts(read_config("train", ["counting"]))
    make_checkpoint(folder / "model", given.shape, texts, device, torch.bfloat16 if gpu else torch.float32)
    if gpu:
        torch.cuda.empty_cache()
    common = ["--shape", given.shape, "--folder", str(folder)]
    capped = ["--cap", given.cap] if given.cap else []
    result = {
        "command": " ".join(["python bench/device.py", "--shape", given.shape, *capped]),
        "commit": commit(),
        "machine": machine(f"torch {torch.__version__}"),
        "gpu": gpu or "no GPU",
        "shape": given.shape,
        "cap": given.cap,
        "folder": os.path.relpath(folder),
        "ours": in_a_process([*common, *capped, "--part", "ours"]),
        "trl": {"under the same cap" if capped else "without a cap": in_a_process([*common, *capped, "--part", "trl"])},
    }
    if capped:
        result["trl"]["without a cap"] = in_a_process([*common, "--part", "trl"])
    (HERE / f"device_{given.shape}.json").write_text(json.dumps(result, indent=1) + "\n")
    if "failed" in result["ours"]:
        raise SystemExit(f"it did not run: {result['ours']['failed']}")
    (HERE / f"device_{given.shape}.md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
