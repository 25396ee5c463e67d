"""Starting a real vLLM server on a CPU, in a process of its own."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START = Path(__file__).with_name("start_vllm_server.py")


@contextmanager
def running(folder: Path, port: int, log: Path, *options: str) -> Iterator[str]:
    """A server of a checkpoint folder, as soon as it answers."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(START), str(folder), str(port), *options]
    with log.open("w") as written:
        environment = {**os.environ, "VLLM_SERVER_DEV_MODE": "1"}
        process = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment)
        try:
            for _ in range(1200):
                assert process.poll() is None, log.read_text()[-3000:]
                try:
                    urllib.request.urlopen(f"{url}/health", timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.5)
            else:
                raise AssertionError(f"the server does not come up: {log.read_text()[-3000:]}")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=60)
