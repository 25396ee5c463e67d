"""`python -m agent view`: runs and evaluations as one page, in a file or served; a folder of runs as a site."""

from __future__ import annotations

import argparse
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import ConfigError

if TYPE_CHECKING:  # imported once it is known what to do: a mistake is told at once
    from .report.serve import Answer

DESCRIPTION = """Write one HTML file with the results, curves and recorded trajectories of runs and evaluations. It
needs no network, and runs nothing that a transcript says. With --serve, FOLDER may also be one that holds runs, now or
later: then all of them are shown as they are at that moment, and nothing is written."""
LOOPBACK = "127.0.0.1"
LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"  # what stands between the dots of a host's name


def view_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status.

    Raises:
        ConfigError: a folder is neither a run's nor an evaluation's, or the page cannot be written or served there.
    """
    options = _parser().parse_args(arguments)
    if options.serve is None:
        _refuse_without_serving(options)
        _write(options)
        return 0
    with _ended_by_sigterm():
        if _is_site(options):
            _serve_site(options)
        else:
            _serve_page(options)
    return 0


def _write(options: argparse.Namespace) -> Path:
    """Write the page; returns its file."""
    from .report.folders import read_folder
    from .report.tokenizer import find_decoder
    from .report.write import write_page

    folders = []
    for path in options.folders:
        folder = read_folder(path)
        decode, reason = find_decoder(folder) if folder.files else (None, "")
        if reason:
            print(f"{path}: {reason}")
        folders.append((folder, decode))
    output = options.output or options.folders[0] / "report.html"
    if not output.parent.is_dir():
        raise ConfigError(f"--output {output}: {output.parent} is no folder; make it first, or choose another place")
    try:
        write_page(output, folders)
    except (PermissionError, IsADirectoryError) as error:
        raise ConfigError(f"--output {output}: cannot be written: {error.strerror}; choose another place") from error
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB)")
    return Path(output)


def _is_site(options: argparse.Namespace) -> bool:
    """Whether a folder of runs is to be served, and not a run."""
    from .report.folders import kind_of

    root: Path = options.folders[0]
    try:
        return len(options.folders) == 1 and kind_of(root) is None and (root.is_dir() or not root.exists())
    except OSError as error:
        raise ConfigError(f"{root}: cannot be read: {error.strerror}; run this as somebody who may") from error


def _serve_page(options: argparse.Namespace) -> None:
    from .report.serve import file_at_root

    if options.tensorboard:
        raise ConfigError("--tensorboard: a link in the table of a folder of runs, which a single page does not have")
    _serve(file_at_root(_write(options)), options)


def _serve_site(options: argparse.Namespace) -> None:
    from .report.site import Site

    root = options.folders[0]
    if options.output is not None:
        raise ConfigError(f"--output: {root} is served as a folder of runs, and nothing is written; leave it out")
    if not root.is_dir():
        print(f"{root}: no such folder yet; its runs are shown as soon as it is there")
    _serve(Site(root, options.tensorboard or "").answer, options)


def _serve(answer: Callable[[str], Answer | None], options: argparse.Namespace) -> None:
    from .report.serve import NAMES, page_server

    names = tuple(dict.fromkeys([*NAMES, *options.names]))
    try:
        server = page_server(answer, options.serve, options.host, names)
    except OSError as error:
        raise ConfigError(
            f"--serve {options.serve}: {options.host}: {error.strerror}; give another port, or 0 for any free one, or "
            "another --host"
        ) from error
    with server:
        port = server.server_port
        if not IPv4Address(options.host).is_loopback:
            print(
                f"--host {options.host}: whoever reaches port {port} there can read all of this, if they call this "
                f"machine by one of these names: {', '.join(names)}"
            )
        shown = options.host if IPv4Address(options.host).is_loopback else LOOPBACK
        print(f"http://{shown}:{port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Within this, SIGTERM, by which containers are stopped, ends the process at once with status 0."""

    def end(*_: object) -> None:
        raise SystemExit(0)

    earlier = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _refuse_without_serving(options: argparse.Namespace) -> None:
    given = [name for name in ("names", "tensorboard") if getattr(options, name)]
    if options.host != LOOPBACK:
        given.append("host")
    if given:
        raise ConfigError(f"--{given[0]} is for a page that is served; add --serve PORT")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m agent view", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        type=Path,
        nargs="+",
        help="a run's folder, or an evaluation's; with --serve also one that holds many of them, such as runs",
    )
    parser.add_argument("--output", type=Path, help="the file to write; report.html in the first folder if not given")
    parser.add_argument(
        "--serve",
        type=_port,
        nargs="?",
        const=0,
        metavar="PORT",
        help="serve the page on 127.0.0.1 until interrupted; 0, or no number, takes any free port",
    )
    parser.add_argument(
        "--host",
        type=_address,
        default=LOOPBACK,
        metavar="ADDRESS",
        help="the IPv4 address to listen on in place of 127.0.0.1; 0.0.0.0 is for containers, whose port is published "
        "on an address of the host",
    )
    parser.add_argument(
        "--names",
        type=_names,
        default=(),
        metavar="NAME,NAME",
        help="names of this machine to answer to, beside 127.0.0.1 and localhost",
    )
    parser.add_argument(
        "--tensorboard", type=_link, metavar="URL", help="a link to TensorBoard in the table of all runs"
    )
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return int(text)


def _address(text: str) -> str:
    try:
        return LOOPBACK if text == "localhost" else str(IPv4Address(text))
    except AddressValueError:
        raise argparse.ArgumentTypeError(
            f"an IPv4 address of this machine, such as 127.0.0.1 or 0.0.0.0, got {text!r}"
        ) from None


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(","))
    for name in names:
        if len(name) > 253 or not re.fullmatch(
            r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", name
        ):
            raise argparse.ArgumentTypeError(
                f"names of hosts without port, with commas between, such as box.example,10.0.0.7; got {name!r}"
            )
    return names


def _link(text: str) -> str:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError(f"an address such as http://127.0.0.1:6006/, got {text!r}")
    return text
