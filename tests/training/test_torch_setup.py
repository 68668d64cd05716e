"""The C library's own statistics before and after the setting."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from siwcc.training.torch_setup import keep_large_buffers

PROBE = """
import ctypes, sys
from siwcc.training.torch_setup import keep_large_buffers

class Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.mallinfo2.restype = Statistics
if sys.argv[1] == "keep":
    assert keep_large_buffers()
before = libc.mallinfo2()
block = libc.malloc(64 * 2**20)
during = libc.mallinfo2()
libc.free(block)
after = libc.mallinfo2()
print(during.hblkhd - before.hblkhd >= 64 * 2**20, after.fordblks - before.fordblks >= 60 * 2**20)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="needs glibc 2.33 or newer for its statistics",
)
@pytest.mark.parametrize(("setting", "mapped_afresh", "kept"), [("default", True, False), ("keep", False, True)])
def test_large_blocks_are_kept(setting, mapped_afresh, kept):
    answer = subprocess.run([sys.executable, "-c", PROBE, setting], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [str(mapped_afresh), str(kept)]


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_large_buffers() is False
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_large_buffers() is False
