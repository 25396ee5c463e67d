"""What a process of `torchrun` does in the tests: one whole run of a small recipe.

    torchrun --nproc-per-node 2 tests/agent/engine/sharded_run.py FOLDER NAME '{"engine": {"train": "fsdp2"}, ...}'

A "crash" among the areas is the number of environment steps after which process 1 kills itself. "passes" among them:
the last layer is spared every token that it can be, and each process writes beside the run the tokens of its passes, a
line for every look and update, to `passes.RANK.jsonl`, and to `keys.RANK.jsonl` of how many the last layer made keys.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule

import agent.run

torch.set_num_threads(1)

from agent.config_algorithm import DivergenceConfig  # noqa: E402
from agent.config_engine import ShardingConfig, VllmConfig  # noqa: E402
from agent.config_model import LoraConfig  # noqa: E402
from agent.engine.fsdp2 import ShardedEngine  # noqa: E402
from agent.errors import AgentError  # noqa: E402
from agent.model import last_layer, narrowed  # noqa: E402
from agent.run import run  # noqa: E402
from tests.agent.run_fixtures import Hooks, quiet, small_config  # noqa: E402

KINDS = {"divergence": DivergenceConfig, "fsdp2": ShardingConfig, "lora": LoraConfig, "vllm": VllmConfig}


def read(areas: dict[str, Any]) -> dict[str, Any]:
    """Options that are areas themselves, as what they are."""

    def option(name: str, value: Any) -> Any:
        return KINDS[name](**value) if isinstance(value, dict) and name in KINDS else value

    return {area: {name: option(name, value) for name, value in options.items()} for area, options in areas.items()}


def distinct_tokens(rows: Any) -> int:
    """Of a batch or an experience; equal prompts count once."""
    batch = getattr(rows, "batch", rows)
    prompts = dict(zip(batch.prompts(), batch.prompt_length.tolist(), strict=True))
    return int(batch.attention_mask.sum() - batch.prompt_length.sum()) + sum(prompts.values())


def write_passes(file: Path) -> None:
    """From now on, of every look and update of this process."""
    plain = ShardedEngine.passes

    def passes(self: ShardedEngine, *arguments: Any, **options: Any) -> Iterator[Any]:
        found = list(plain(self, *arguments, **options))
        with file.open("a") as out:
            out.write(json.dumps([None if micro is None else distinct_tokens(micro) for micro, _ in found]) + "\n")
        return iter(found)

    ShardedEngine.passes = passes  # type: ignore[method-assign, assignment]


def write_keys(file: Path) -> None:
    """From now on, of every pass of this process's models in shards whose last layer is narrowed."""
    plain, narrowed.LEAST = last_layer._keys_and_values, 1

    def keys_and_values(layer: Any, states: torch.Tensor, options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(layer, FSDPModule):
            with file.open("a") as out:
                out.write(json.dumps(states.shape[1]) + "\n")
        return plain(layer, states, options)

    last_layer._keys_and_values = keys_and_values


def main(folder: str, name: str, areas: dict[str, Any]) -> int:
    crash = areas.pop("crash", 0)
    if areas.pop("passes", False):
        write_passes(Path(folder) / f"passes.{os.environ['RANK']}.jsonl")
        write_keys(Path(folder) / f"keys.{os.environ['RANK']}.jsonl")
    config = small_config(Path(folder), name, **read(areas))
    if crash and os.environ.get("RANK") == "1":
        Hooks.set(lambda count: os.kill(os.getpid(), signal.SIGKILL) if count == crash else None)
    agent.run.write_report = lambda *_: None  # type: ignore[assignment]
    try:
        return 0 if run(config, quiet()[0]).finished else 130
    except AgentError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
