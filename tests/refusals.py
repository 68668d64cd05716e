"""Bad input is refused: asserted by the fields of the exception, not by its sentences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from siwcc.io.errors import InputError


@contextmanager
def refused(where: str | os.PathLike[str], *found: object, remedy: str | None = "") -> Iterator[None]:
    """The block raises an `InputError`.

    Args:
        where: Its field `where`: the file, key or sample.
        found: Values, keys or names that its field `problem` contains.
        remedy: Contained in its field `remedy`, which is not empty; None: the field may be empty.
    """
    with pytest.raises(InputError) as caught:
        yield
    error = caught.value
    assert error.where == os.fspath(where)
    for each in found:
        assert str(each) in error.problem
    assert "\n" not in str(error)
    if remedy is not None:
        assert error.remedy
        assert remedy in error.remedy
