"""`python -m agent view`: runs and evaluations as one page, in a file or served to this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .errors import ConfigError

DESCRIPTION = """Write one HTML file with the results, curves and recorded trajectories of runs and evaluations. It
needs no network, and runs nothing that a transcript says."""


def view_command(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status.

    Raises:
        ConfigError: a folder is neither a run's nor an evaluation's, or the page cannot be written or served there.
    """
    options = _parser().parse_args(arguments)
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
    if options.serve is not None:
        _serve(output, options.serve)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m agent view", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("folders", metavar="FOLDER", type=Path, nargs="+", help="a run's folder, or an evaluation's")
    parser.add_argument("--output", type=Path, help="the file to write; report.html in the first folder if not given")
    parser.add_argument(
        "--serve",
        type=_port,
        nargs="?",
        const=0,
        metavar="PORT",
        help="serve the page on 127.0.0.1 until interrupted; 0, or no number, takes any free port",
    )
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return int(text)


def _serve(page: Path, port: int) -> None:
    from .report.serve import page_server

    try:
        server = page_server(page, port)
    except OSError as error:
        raise ConfigError(f"--serve {port}: {error.strerror}; give another port, or 0 for any free one") from error
    with server:
        print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
