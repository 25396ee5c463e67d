"""python -m sandbox serve --backend docker | local [--host H] [--port P] [--token-env NAME]

Runs programs for trainers on other hosts, over HTTP: `sandbox: http://HOST:PORT` in their recipes. A bearer token is
needed, from the environment variable that --token-env names, or from the file at the path that NAME_FILE holds (such
as /run/secrets/token); without one the service listens only at --host 127.0.0.1.
The connection is not encrypted: let a proxy with TLS stand before it where the network is not your own.
"""

from __future__ import annotations

import argparse
import contextlib

from ..errors import RequestError, Unavailable
from ..listening import listen
from ..secret import secret

PORT = 8764
KEEP_ALIVE_SECONDS = 75  # more than a client keeps an idle connection


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m sandbox serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--backend", default="docker", metavar="NAME", help="docker (the default), local or unix:DIR")
    made.add_argument("--host", default=None, help="the address to listen at; by default every one, with a token")
    made.add_argument("--port", type=int, default=PORT, help=f"by default {PORT}; 0 takes a free one")
    made.add_argument(
        "--token-env",
        default=None,
        metavar="NAME",
        help="the environment variable with the token; or NAME_FILE is the one with the path of a file that holds it",
    )
    made.add_argument("--lanes", type=int, default=None, help="programs at a time; by default as the backend has it")
    made.add_argument("--max-wall-seconds", type=float, default=600.0, help="what a program may ask for at most")
    made.add_argument("--inside", type=int, default=256, help="requests served or waiting at a time")
    return made


def main(arguments: list[str]) -> int:
    """Serve until it is stopped."""
    command = parser()
    given = command.parse_args(arguments)
    if not 0 <= given.port < 65536:
        command.error(f"--port must be from 0 to 65535; got {given.port}")
    if given.inside < 1:
        command.error(f"--inside must be at least 1; got {given.inside}")
    if given.backend.startswith(("http://", "https://")):
        command.error("--backend must be docker, local or unix:DIR: a service does not stand before another")
    try:
        import uvicorn

        from ..service.app import make_app
        from ..service.guard import check_exposure
    except ModuleNotFoundError as error:
        raise Unavailable(f"the service needs {error.name}: pip install 'rllava-gym[sandbox]'") from None
    token = None
    if given.token_env is not None:
        token = secret(given.token_env, RequestError)
        if not token:
            raise RequestError(
                f"--token-env names {given.token_env}, and this variable is empty or not set; nor is "
                f"{given.token_env}_FILE, the path of a file with the token"
            )
    host = check_exposure(given.host, token)
    from .lanes import open_lanes

    sandbox = open_lanes(given.backend, given.lanes)
    try:
        for part, words in sandbox.isolation().items():  # before a client waits for it
            print(f"{part}: {words}", flush=True)
        app = make_app(sandbox, token=token, inside=given.inside, max_wall_seconds=given.max_wall_seconds)
        config = uvicorn.Config(app, log_level="warning", lifespan="on", timeout_keep_alive=KEEP_ALIVE_SECONDS)
        with listen(host, given.port) as listener:
            place = f"[{host}]" if ":" in host else host
            print(f"serving {given.backend} at http://{place}:{listener.getsockname()[1]}", flush=True)
            with contextlib.suppress(KeyboardInterrupt):  # raised anew when everything is closed
                uvicorn.Server(config).run(sockets=[listener])
    except OSError as error:
        raise Unavailable(f"the service cannot listen at {host}:{given.port}: {error}") from None
    finally:
        sandbox.close()
    return 0
