"""A service in a thread of this process, for as long as a `with` lasts: for tests and notebooks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from ..listening import listen

START_SECONDS = 30.0


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve an application at a free port of this machine's own address; its URL. At the end the application's lifespan
    ends as well.

    Raises:
        TimeoutError: it did not start.
    """
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not thread.is_alive():
                raise TimeoutError("the service did not start")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
