"""python -m envs play ID"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
from rich.markup import escape

from ..core.images import encode_png
from ..core.tasks import SPLITS
from .terminal import add_kwargs, known, out


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser("play", help="play an episode in the terminal")
    command.add_argument("id")
    command.add_argument("--seed", type=int)
    command.add_argument("--task", type=int)
    command.add_argument("--split", choices=SPLITS)
    command.add_argument("--out", metavar="FOLDER", help="where the pictures go (a new temporary folder)")
    add_kwargs(command)
    return command


def run(given: argparse.Namespace) -> int:
    """Play one episode in the terminal. End of input or Ctrl-C ends it without a score."""
    kwargs = given.kwargs | ({"split": given.split} if given.split else {})
    env = gymnasium.make(known(given.id), **kwargs)
    pictures = Path(given.out or tempfile.mkdtemp(prefix="envs-play-"))
    pictures.mkdir(parents=True, exist_ok=True)
    observation, _ = env.reset(seed=given.seed, options=None if given.task is None else {"task": given.task})
    turn, score, over = 0, 0.0, False
    info: dict[str, Any] = {}
    try:
        while not over:
            out.print(escape(observation["text"]))
            for number, picture in enumerate(observation["images"]):
                path = pictures / f"turn{turn}_{number}.png"
                path.write_bytes(encode_png(picture))
                out.print(escape(f"picture: {path.resolve()}"))
            said = input("answer (or a whole turn with tags): ")
            text = said if "<" in said else f"<think>by hand</think><answer>{said}</answer>"
            observation, reward, terminated, truncated, info = env.step(text)
            score, over, turn = float(reward), bool(terminated or truncated), turn + 1
    except (EOFError, KeyboardInterrupt):
        out.print("\nstopped before the end of the episode")
        return 0
    finally:
        env.close()
    out.print(escape(f"reward {score:g}  {info.get('metrics', {})}"))
    if hasattr(env.unwrapped, "solve"):
        out.print(escape(f"gold: {env.unwrapped.solve()}"))
    return 0
