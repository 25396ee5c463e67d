"""Deleting a folder that somebody hostile filled: of any depth, with any permissions, in bounded time."""

from __future__ import annotations

import os
import time
from itertools import islice

_BATCH = 512


def wipe(folder: str, seconds: float | None) -> bool:
    """Delete a folder and everything in it, following no link. False if that was not possible, or not in time.

    Folders inside folders are first moved up beside `folder`, so that no path becomes longer than the kernel allows
    and nothing recurses.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    parent, queue, moved = os.path.dirname(folder), [folder], 0
    while queue:
        current = queue.pop()
        try:
            # A folder may have been made unreadable; who owns it, or root, may make it readable again.
            os.chmod(current, 0o700)
            while True:
                with os.scandir(current) as entries:
                    batch = list(islice(entries, _BATCH))
                if not batch:
                    break
                for entry in batch:
                    if entry.is_dir(follow_symlinks=False):
                        os.chmod(entry.path, 0o700)
                        moved += 1
                        above = os.path.join(parent, f".wipe-{os.getpid()}-{moved}-{time.monotonic_ns()}")
                        os.rename(entry.path, above)
                        queue.append(above)
                    else:
                        os.unlink(entry.path)
                if deadline is not None and time.monotonic() > deadline:
                    return False
            os.rmdir(current)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
