"""What decoders of images write on their own: nothing of it reaches standard error."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

# OpenCV's level of messages and Python's filters of warnings are global: one thread at a time changes them.
_lock = threading.Lock()


@contextmanager
def silenced() -> Iterator[None]:
    """OpenCV and Pillow print nothing, Pillow warns of nothing."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # OpenCV 5 moved it.
        set_level = getattr(cv2.utils, "logging", cv2).setLogLevel
        level = set_level(0)
        try:
            yield
        finally:
            set_level(level)


@contextmanager
def logged_errors() -> Iterator[list[str]]:
    """What tifffile and imagecodecs log as errors in this thread; they log neither these nor warnings elsewhere."""
    errors: list[str] = []
    thread = threading.get_ident()

    def collect(record: logging.LogRecord) -> bool:
        if record.thread == thread and record.levelno >= logging.ERROR:
            errors.append(record.getMessage())
        return record.thread != thread

    loggers = [logging.getLogger(name) for name in ("tifffile", "imagecodecs")]
    for logger in loggers:
        logger.addFilter(collect)
    try:
        yield errors
    finally:
        for logger in loggers:
            logger.removeFilter(collect)
