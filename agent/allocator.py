"""How the C library keeps memory that nobody needs: little of it.

By glibc's defaults every thread gets an arena of its own, and what is free in one is no use to the others. Environments
are called in threads, which process pictures there; and a step with large pictures then needs a fifth more memory.

A bound for the blocks that are returned to the system at once (M_MMAP_THRESHOLD) would save a little more. It is left
to the user (MALLOC_MMAP_THRESHOLD_): what is returned has to be taken anew, which made large updates slower by 40%.
"""

from __future__ import annotations

import ctypes
import os

_ARENA_MAX = -8  # glibc's malloc.h
ARENAS = 2


def share_arenas() -> bool:
    """Let all threads together have a few arenas, unless the user's environment says how many (MALLOC_ARENA_MAX).
    Arenas that exist stay, so this is called before threads are started. False: nothing was changed, or this is no
    glibc."""
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, ARENAS))
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return False
