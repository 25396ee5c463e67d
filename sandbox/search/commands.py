"""python -m sandbox search build | serve

build   an index over a corpus of passages: .json (a list) or .jsonl, with title and text, or with contents
serve   answer searches over HTTP, from an index or from any other search; see --help. With --corpus, the index is
        built first where there is none, and again when the corpus is another
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from ..listening import listen
from ..secret import secret
from .contract import SearchBackend
from .corpus import read_corpus
from .errors import SearchArgumentError, SearchError, SearchUnavailableError
from .exchange import LOOPBACK
from .index import Index, build_index
from .kept import fingerprint, keep_index
from .opening import NAMES, open_search
from .progress import rows, told

PORT = 8001


def main(arguments: list[str]) -> int:
    """Run `build` or `serve`; the exit status: 0 done, 1 an error that was explained, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox search", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build an index over a corpus of passages")
    build.add_argument("corpus", metavar="CORPUS", help="passages.json or passages.jsonl")
    build.add_argument("folder", metavar="INDEX_DIR", help="a folder that does not exist yet")
    serve = commands.add_parser("serve", help="answer searches over HTTP")
    serve.add_argument("backend", metavar="INDEX_DIR|BACKEND", help=f"a folder, or one of {', '.join(NAMES)}")
    serve.add_argument("--corpus", metavar="CORPUS", help="passages that INDEX_DIR must be the index of")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, default=PORT, help=f"0 for any that is free ({PORT})")
    serve.add_argument("--threads", type=int, default=4, help="searches at a time (4)")
    serve.add_argument(
        "--token-env",
        metavar="NAME",
        help="callers must send the token that this variable of the environment holds, or the file at the path in\n"
        "NAME_FILE, such as /run/secrets/token",
    )
    given = parser.parse_args(arguments)
    try:
        return _build(given) if given.command == "build" else _serve(given)
    except SearchError as error:
        print(f"search {given.command}: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a disk that is full, or a folder in which this user may not write
        print(f"search {given.command}: {error.strerror or error}: {error.filename}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _build(given: argparse.Namespace) -> int:
    start, corpus = time.perf_counter(), Path(given.corpus)
    known = fingerprint(corpus)
    manifest = build_index(given.folder, told(read_corpus(given.corpus), rows(corpus)), known)
    seconds = time.perf_counter() - start
    print(f'{manifest.count:,} passages in {seconds:.1f} s; search="index:{given.folder}"')
    return 0


def _serve(given: argparse.Namespace) -> int:
    try:
        import uvicorn

        from .service import ServiceOptions, make_service
    except ImportError as error:
        raise SearchUnavailableError(
            f"serving needs starlette, uvicorn and prometheus-client ({error}); install them: "
            "pip install 'rllava-gym[search]'"
        ) from None
    if not 0 <= given.port <= 65535:
        raise SearchArgumentError(f"--port must be from 0 to 65535; got {given.port}")
    if not 1 <= given.threads <= 256:
        raise SearchArgumentError(f"--threads must be from 1 to 256; got {given.threads}")
    token = _token(given.token_env)
    if given.corpus is not None:
        _keep(given.backend, given.corpus)
    backend, about = _backend(given.backend)
    if token is None and given.host not in LOOPBACK:
        if about["backend"] not in ("index", "http"):
            raise SearchArgumentError(
                f"--host {given.host} lets others search the web on your account; choose a token: --token-env NAME"
            )
        print(f"everybody who reaches {given.host} can search: there is no token", file=sys.stderr)
    options = ServiceOptions(token, given.threads, about=about)
    config = uvicorn.Config(
        make_service(backend, options), log_level="warning", access_log=False, timeout_graceful_shutdown=10
    )
    with _listening(given.host, given.port) as listener:
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(f"serving {given.backend} at {address}", flush=True)
        server = uvicorn.Server(config)
        interrupted = []

        def leave(number: int, frame: FrameType | None) -> None:
            interrupted.append(number == signal.SIGINT)
            uvicorn.Server.handle_exit(server, number, frame)

        # asyncio does not tell in every case: an interrupt that comes late ends the service, and is forgotten.
        server.handle_exit = leave  # type: ignore[method-assign, assignment]
        server.run(sockets=[listener])
    if any(interrupted):
        return 130
    return 0 if server.started else 1


def _keep(name: str, corpus: str) -> None:
    if not _is_folder(name):
        raise SearchArgumentError(f"--corpus goes with an INDEX_DIR, which is built from it; got {name!r}")
    # The first process of a container is not ended by a signal that it does not ask for; what was begun is deleted.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        keep_index(name.removeprefix("index:"), corpus, lambda line: print(line, flush=True))
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_folder(name: str) -> bool:
    return os.path.isdir(name) or name.startswith("index:") or "/" in name.partition(":")[0] or ":" not in name


def _token(variable: str | None) -> str | None:
    if variable is None:
        return None
    token = secret(variable, SearchArgumentError)
    if len(token) < 8:
        raise SearchArgumentError(
            f"--token-env {variable}: it must hold 8 printable ASCII characters or more; it holds {len(token)} "
            f"(or {variable}_FILE the path of a file that does)"
        )
    return token


def _backend(name: str) -> tuple[SearchBackend, dict[str, Any]]:
    """What is to be served, and what /health tells of it."""
    if _is_folder(name):
        index = Index.open(name.removeprefix("index:"))
        return index, {"backend": "index", "passages": index.manifest.count, "content": index.manifest.content}
    kind = name.partition(":")[0]
    return open_search(name), {"backend": "http" if kind == "https" else kind}


def _listening(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise SearchArgumentError(f"cannot listen on {host}, port {port}: {error}") from None
