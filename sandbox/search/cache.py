"""Answers of the web on disk, so that a run can be repeated when the web has changed or is not there."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from .contract import Passage

MODES = ("record", "replay", "replay-only")
VERSION = 1


class Cache:
    """One small JSON file a request, named by its hash. Files are written aside and renamed: processes may share a
    folder, and one that is killed leaves no half of a file.

    What identifies a request is given as plain data; a key of an account is never part of it, nor of what is stored.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def get(self, request: Mapping[str, str | int]) -> list[Passage] | None:
        """What was stored for `request`; None where nothing was, or nothing that can be read."""
        try:
            stored = json.loads(self.path(request).read_bytes())
            if stored["version"] != VERSION or stored["request"] != dict(request):
                return None
            return [Passage(**passage) for passage in stored["passages"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def put(self, request: Mapping[str, str | int], passages: Sequence[Passage]) -> None:
        """Store passages, in place of what was there."""
        path = self.path(request)
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = {
            "version": VERSION,
            "request": dict(request),
            "fetched": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "passages": [asdict(passage) for passage in passages],
        }
        handle, aside = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(stored, file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(aside, 0o644)
            os.replace(aside, path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise

    def path(self, request: Mapping[str, str | int]) -> Path:
        """The file of `request`, which need not exist."""
        name = hashlib.sha256(json.dumps([VERSION, dict(request)], sort_keys=True).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"
