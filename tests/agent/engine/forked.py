"""Processes of a run, forked from one that has imported everything: a start takes a tenth of a second and not ten.

What torchrun tells its processes by their environment they are told here. Runs that are about the launcher itself,
about hosts, or about a process that is killed are started by torchrun.
"""

import multiprocessing
import os
import socket
import traceback
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.agent.engine.sharded_run"])
PATIENCE = 240.0


def run_forked(folder: Path, name: str, areas: dict[str, Any], processes: int) -> str:
    """A whole run by so many processes, 0: one without a launcher. What they said, if it failed; else nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.stderr"
    environments: list[dict[str, str]] = [{}]
    if processes:
        port = _free_port()
        common = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        environments = [common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    started = [CONTEXT.Process(target=_process, args=(e, str(folder), name, areas, str(log))) for e in environments]
    for process in started:
        process.start()
    for process in started:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
    codes = [process.exitcode for process in started]
    return "" if not any(codes) else f"exit codes {codes}: {log.read_text()[-4000:]}"


def _process(environment: dict[str, str], folder: str, name: str, areas: dict[str, Any], log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.environ.update(environment)
    from tests.agent.engine.sharded_run import main

    status = 70
    try:
        status = main(folder, name, areas)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)  # as at the end of a program, but without what was inherited


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
