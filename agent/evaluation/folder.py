"""An evaluation on disk: every transcript as it ends, so that nothing is played twice and nothing is lost.

settings.json            what each sitting depends on
episodes/SITTING.jsonl   one line an episode, in the order in which they ended; episodes/images/ beside them
results.json, results.md
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import RunDirectoryError
from ..records import line, write_pictures
from .sitting import Sitting, Wanted

Record = dict[str, Any]


class EvaluationFolder:
    """Opened for writing by one process.

    Raises:
        RunDirectoryError: another process writes it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.episodes = path, path / "episodes"
        try:
            self.episodes.mkdir(parents=True, exist_ok=True)
            self._lock: IO[str] = (path / ".lock").open("w")
        except OSError as error:
            raise RunDirectoryError(f"{path} cannot be written ({error.strerror}); choose another --output") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise RunDirectoryError(
                f"{path} is being written by another process; wait for it, or choose another --output"
            ) from None

    def open(self, sitting: Sitting) -> Episodes:
        """The episodes of a sitting, those of an earlier call among them.

        Raises:
            RunDirectoryError: they were played with other settings, which are named.
        """
        path = self.path / "settings.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"sittings": {}}
        now = json.loads(json.dumps(sitting.settings, default=str))
        before = known["sittings"].get(sitting.slug)
        if before is not None and before != now:
            changed = [name for name in now if now[name] != before.get(name)]
            told = "; ".join(f"{name} was {before.get(name)!r:.200}, is {now[name]!r:.200}" for name in changed)
            raise RunDirectoryError(
                f"{self.path} holds episodes of {sitting.subject} at {sitting.benchmark.name} that were played "
                f"otherwise: {told}. Choose another --output, or delete that folder"
            )
        known["sittings"][sitting.slug] = now
        if sitting.checkpoint:
            known.setdefault("checkpoints", {})[sitting.subject] = sitting.checkpoint
        self.write("settings.json", json.dumps(known, indent=1) + "\n")
        return Episodes(self.episodes, self.episodes / f"{sitting.slug}.jsonl", sitting)

    def write(self, name: str, text: str) -> Path:
        """The whole text or, whatever happens meanwhile, what was there before."""
        path = self.path / name
        partial = path.with_name(f".{name}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        return path

    def close(self) -> None:
        self._lock.close()


class Episodes:
    """The transcripts of one sitting. `records`: what has ended, by place of the task and sample."""

    def __init__(self, folder: Path, path: Path, sitting: Sitting) -> None:
        self._folder, self._sitting = folder, sitting
        self.records: dict[tuple[int, int], Record] = {}
        whole = bytearray()
        for raw in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            with suppress(ValueError, KeyError, TypeError):
                record = json.loads(raw)
                # One that the infrastructure broke is played again; a line that a killed process left is none.
                if raw.endswith(b"\n") and record["outcome"]["end"] != "failed":
                    self.records[int(record["index"]), int(record["sample"])] = record
                    whole += raw
        partial = path.with_suffix(".partial")
        partial.write_bytes(whole)
        partial.replace(path)
        self._file = path.open("ab")

    def missing(self, wanted: list[Wanted]) -> list[Wanted]:
        """Those that have not been played to their end."""
        return [one for one in wanted if (one.index, one.sample) not in self.records]

    def keep(self, wanted: Wanted, record: Mapping[str, Any], pictures: Mapping[str, np.ndarray]) -> None:
        """An episode has ended: it is on disk when this returns, its pictures first."""
        sitting = self._sitting
        told = {
            "policy": sitting.subject,
            "benchmark": sitting.benchmark.name,
            "split": sitting.benchmark.split,
            "variant": sitting.variant,
            "decoding": sitting.decoding,
            "index": wanted.index,
            "sample": wanted.sample,
        }
        write_pictures(self._folder, pictures)
        full = {**record, **told}
        self._file.write(line(full).encode("utf-8", "backslashreplace"))
        self._file.flush()
        self.records[wanted.index, wanted.sample] = json.loads(line(full))

    def close(self) -> None:
        with suppress(OSError):
            os.fsync(self._file.fileno())
        self._file.close()
