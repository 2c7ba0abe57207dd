"""When memory is given back: by the C library to the system, and by Python's garbage collector."""

import ctypes
import gc
import sys

# Of <malloc.h>. A block of at least the second is mapped alone, and unmapped when it is freed. Free memory at the end
# of the heap beyond the first is given back.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
USUAL_BYTES = 128 * 1024
KEPT_BYTES = 2**30
# New objects before the collector looks at them; Python begins with 700.
NEW_OBJECTS = 20_000


def collect_seldom() -> None:
    """Let Python's garbage collector look for circles less often.

    Imports of large libraries make hundreds of thousands of objects that stay. To look through them again and again
    took a tenth of the CPU time of PyTorch's import, and a fifth of torchvision's.
    """
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


def keep_freed_blocks(is_kept: bool = True) -> bool:
    """Let a process use the memory of freed tensors again, instead of asking the system for pages full of zeros.

    A network on a CPU allocates and frees the same large blocks in every batch. Mapped anew each time they cost a third
    of the CPU time of SlowOnly R50 at batches of 8 clips. No bit of a result depends on it, and the process holds no
    more than its largest batch needed, at most 2 * KEPT_BYTES at the end of the heap.

    Args:
        is_kept: False sets what the GNU C library begins with.

    Returns:
        Whether the C library has these settings; only that of GNU has.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    mmap, trim = (KEPT_BYTES, 2 * KEPT_BYTES - 1) if is_kept else (USUAL_BYTES, USUAL_BYTES)
    return bool(mallopt(MMAP_THRESHOLD, mmap)) and bool(mallopt(TRIM_THRESHOLD, trim))
