"""How the C library keeps memory that nobody needs at the moment: between threads, and between steps.

By glibc's defaults every thread gets an arena of its own, and what is free in one is no use to the others. Environments
are called in threads, which process pictures there; and a step with large pictures then needs a fifth more memory.

And by its defaults blocks of a few MiB go back to the system as soon as they are free, as does the free end of the
heap. A step makes the same activations again and again, and each time the system hands out the same memory page by
page, emptied: a tenth of a small model's step. So blocks up to `LARGE` come from the heap (which is also the most that
glibc itself would learn), and the heap shrinks where more than `SPARE` at its end is free.
"""

from __future__ import annotations

import ctypes
import os

LARGE, SPARE = 32 * 2**20, 128 * 2**20  # bytes
# The variables by which a user sets the same, the numbers of the options in glibc's malloc.h, and ours.
OPTIONS = {
    "MALLOC_ARENA_MAX": (-8, 2),
    "MALLOC_MMAP_THRESHOLD_": (-3, LARGE),
    "MALLOC_TRIM_THRESHOLD_": (-1, SPARE),
}


def settle_allocator() -> bool:
    """Let all threads together have a few arenas, and the heap keep what the next step needs. What the user's
    environment sets stays. Arenas that exist stay, too, so this is called before threads are started. False: this is no
    glibc, or it refuses."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return False
    return all(mallopt(option, value) for name, (option, value) in OPTIONS.items() if name not in os.environ)
