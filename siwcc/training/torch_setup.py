"""Memory settings of the C library that training on a CPU profits from."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h, part of its ABI.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_NEVER_TRIM = -1
_LARGEST_KEPT = 2**30
# The largest mmap threshold that mallopt(3) promises to accept.
_LARGEST_PROMISED = 32 * 2**20


def keep_large_buffers() -> bool:
    """Keep freed blocks of up to 1 GiB for the next allocation, instead of handing them back to the kernel.

    By default glibc maps every large block afresh and unmaps it when it is freed, so that each layer's
    activations, in each training step, are paged in and zeroed again. Call it once, before the first step. The
    process then holds on to its peak memory. Does nothing on other C libraries and other systems.

    Returns:
        Whether the setting was made.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    kept = any(libc.mallopt(_M_MMAP_THRESHOLD, size) for size in (_LARGEST_KEPT, _LARGEST_PROMISED))
    return bool(kept and libc.mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM))
