"""One measurement, in a process of its own: `python -m steps.worker JOB`. The last line that it prints is JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .job import Job

BENCH = Path(__file__).parents[1]


def measured(job: Job) -> dict[str, Any]:
    """Run a job in a process of its own, on one thread.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(BENCH), str(BENCH.parent)]),
    }
    command = [sys.executable, "-m", "steps.worker", job.to_json()]
    done = subprocess.run(command, cwd=BENCH.parent, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{job} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def work(job: Job, folder: Path) -> dict[str, Any]:
    """Do it here. What is not needed is not imported: it would count as memory."""
    import torch

    torch.set_num_threads(1)
    if job.kind == "step":
        from .ours import whole_steps
    elif job.kind == "trl step":
        from .theirs import whole_steps
    elif job.kind == "agreement":
        from .agreement import compared as whole_steps
    elif job.kind == "update":
        from .update import updates as whole_steps
    elif job.kind == "rollout":
        from .rollout import rollouts as whole_steps
    else:
        from .rollout import many_turns as whole_steps
    return whole_steps(job, folder)


def main() -> None:
    said = sys.stdout
    sys.stdout = sys.stderr  # the last line of stdout is the result
    with tempfile.TemporaryDirectory() as folder:
        found = work(Job.from_json(sys.argv[1]), Path(folder))
    print(json.dumps(found), file=said)


if __name__ == "__main__":
    main()
