"""`python -m agent plan RECIPE`: what each phase of a run needs on the device, before anything is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from ..cli import read_config
from ..config import Config
from ..errors import ConfigError
from .advice import Advice, advise
from .phases import PHASES, Placement, Plan, make_plan
from .pictures import pictures_of, read_pictures

USAGE = """usage: python -m agent plan RECIPE [--device-memory SIZE] [--pictures HxW,HxW] [--processes N] [--json]
                            [--option value ...]

Predicts the peak of each phase of a run from the recipe and the model's config.json; no weights are loaded.

  --device-memory SIZE  what the device has: 24GiB, 80GB or plain bytes. Default: that of this machine's GPU, if any
  --pictures SIZES      pictures of a row, as height x width in pixels: 448x448 or 448x448,224x224; none: text alone.
                        Default: those that the environment shows first
  --processes N         devices among which engine.train: fsdp2 divides what it trains; default 1
  --json                bytes, for programs

Every other option is the recipe's, as in `python -m agent train --help`.
Exit status: 0 it fits or there is no limit, 3 it does not fit.
"""
UNITS = {"": 1, "B": 1} | {
    prefix + end: base**power
    for power, prefix in enumerate("KMGT", start=1)
    for end, base in (("B", 1000), ("iB", 1024))
}
EXAMPLES = {"--device-memory": "24GiB", "--pictures": "448x448", "--processes": "8"}
MIB = 2**20
TOO_LARGE = 3


@dataclass(frozen=True)
class PlanOptions:
    """What stands beside the recipe's options on the command line."""

    device_memory: int | None = None
    pictures: tuple[tuple[int, int], ...] | None = None
    json: bool = False
    processes: int = 1


def plan_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status.

    Raises:
        AgentError: the command line, the recipe or the model's config is not acceptable.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    options, rest = read_plan_options(arguments)
    config = read_config("plan", rest)
    memory, accelerator = _device(config, options)
    dtypes = {"auto": "bfloat16" if accelerator else "float32"}
    if options.pictures is None:
        pictures, assumed = pictures_of(config)
    else:
        pictures, assumed = options.pictures, "as given"

    def predict(changed: Config) -> Plan:
        dtype = dtypes.get(changed.model.dtype, changed.model.dtype)
        return make_plan(changed, dtype, pictures, placement_of(changed, accelerator, options.processes), memory)

    plan = predict(config)
    fits = memory is None or plan.peak <= memory
    advice = None if fits or memory is None else advise(config, plan, memory, predict)
    dtype = dtypes.get(config.model.dtype, config.model.dtype)
    if options.json:
        print(json.dumps(_told(plan, memory, advice, dtype, pictures)))
    else:
        _show(Console(), plan, memory, advice, f"{dtype}; pictures of a row: {_spelled(pictures)} ({assumed})")
    return 0 if fits else TOO_LARGE


def read_plan_options(arguments: Sequence[str]) -> tuple[PlanOptions, list[str]]:
    """The command's own options, and what is left for the recipe.

    Raises:
        ConfigError: a size cannot be read, or an option has no value.
    """
    values: dict[str, str] = {}
    rest, waiting = [], iter(arguments)
    as_json = False
    for argument in waiting:
        name, given, value = argument.partition("=")
        if name == "--json":
            as_json = True
        elif name in EXAMPLES:
            value = value if given else next(waiting, "")
            if not value or value.startswith("--"):
                raise ConfigError(f"{name} needs a value, such as {EXAMPLES[name]}")
            values[name] = value
        else:
            rest.append(argument)
    memory, pictures, processes = (values.get(name) for name in EXAMPLES)
    if processes is not None and (not processes.isdecimal() or int(processes) < 1):
        raise ConfigError(f"--processes: expected a number of devices, at least 1, got {processes!r}")
    return PlanOptions(
        None if memory is None else read_bytes(memory),
        None if pictures is None else read_pictures(pictures),
        as_json,
        int(processes or 1),
    ), rest


def read_bytes(text: str) -> int:
    """Bytes of "24GiB" (2**30 each), "80GB" (10**9 each), "1.5TiB" or "1000".

    Raises:
        ConfigError: it is no size, or not above 0.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    units = {unit.lower(): size for unit, size in UNITS.items()}
    size = int(float(found[1]) * units[found[2].lower()]) if found and found[2].lower() in units else 0
    if size <= 0:
        raise ConfigError(
            f"--device-memory: expected a size above 0, such as 24GiB (2^30 bytes each), 80GB (10^9 each) or plain "
            f"bytes, got {text!r}"
        )
    return size


def placement_of(config: Config, accelerator: bool, processes: int) -> Placement:
    """How the recipe's train engine lays its state out.

    Raises:
        ConfigError: several processes, and an engine for one.
    """
    engine = config.engine
    if engine.train == "fsdp2":
        shards = engine.fsdp2
        return Placement(True, processes, shards.offload, shards.accumulate, accelerator, engine.offload)
    if processes > 1:
        raise ConfigError(f"--processes {processes}: engine.train: {engine.train} is for one; use --engine.train fsdp2")
    return Placement(accelerator=accelerator, waits=engine.offload)


def _device(config: Config, options: PlanOptions) -> tuple[int | None, bool]:
    """The device's memory, if it is known, and whether it is a GPU. A limit speaks of one, unless the recipe says
    that it runs on a CPU."""
    if config.model.device == "cpu":
        return options.device_memory, False
    if options.device_memory is not None:
        return options.device_memory, True
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory, True
    return None, config.model.device.startswith("cuda")


def _show(console: Console, plan: Plan, memory: int | None, advice: Advice | None, assumed: str) -> None:
    owners = list(dict.fromkeys(owner for phase in PHASES for owner in plan.phases[phase]))
    table = Table("MiB at the peak of", *PHASES, title="predicted memory of the device", caption=assumed)
    for column in table.columns[1:]:
        column.justify = "right"
    for owner in owners:
        table.add_row(owner, *(_mib(plan.phases[phase].get(owner, 0)) for phase in PHASES))
    table.add_section()
    table.add_row("in all", *(_mib(plan.total(phase)) for phase in PHASES), style="bold")
    console.print(table)
    peak = f"Peak: {plan.peak / MIB:,.1f} MiB, in {plan.highest}"
    if memory is None:
        console.print(f"{peak}. Whether it fits: --device-memory 24GiB")
        return
    verdict = "fits" if plan.peak <= memory else "does not fit"
    console.print(f"{peak}; it {verdict} into {memory / MIB:,.1f} MiB ({plan.peak / memory:.0%}).", soft_wrap=True)
    if plan.peak <= memory:
        return
    if advice is None:
        console.print("No single option lowers the peak: take a smaller model or a larger device.")
        return
    enough = "which fits" if advice.peak <= memory else "which is not enough: ask again with it"
    console.print(
        f"Change first: --{advice.option} {_value(advice.value)} ({advice.owner}). Peak then: "
        f"{advice.peak / MIB:,.1f} MiB, {enough}.",
        soft_wrap=True,
    )


def _told(
    plan: Plan, memory: int | None, advice: Advice | None, dtype: str, pictures: Sequence[tuple[int, int]]
) -> dict[str, object]:
    return {
        "phases": {phase: dict(plan.phases[phase]) for phase in PHASES},
        "totals": {phase: plan.total(phase) for phase in PHASES},
        "peak": plan.peak,
        "phase": plan.highest,
        "device_memory": memory,
        "fits": None if memory is None else plan.peak <= memory,
        "dtype": dtype,
        "pictures": [list(size) for size in pictures],
        "advice": None if advice is None else vars(advice),
    }


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f}" if size else ""


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _spelled(pictures: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in pictures) or "none"
