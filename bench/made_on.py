"""Where and from what a figure was made: what every page of this folder says in its first lines."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def machine(*more: str) -> str:
    """Processor, cores and Python of this machine, and what else the figures depend on, such as "torch 2.13.0"."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())
    return ", ".join([model, f"{os.cpu_count()} cores", f"Python {platform.python_version()}", *more])


def commit() -> str:
    """The commit of the working tree, with "-dirty" if files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
