"""Curves over recordings: what is written is read, and a damaged file is refused."""

import numpy as np
import pytest

from siwcc.data.curves import Curves, read_curves, write_curves
from siwcc.io.errors import InputError


def test_what_is_written_is_read(tmp_path):
    rng = np.random.default_rng(1)
    curves = {"b": rng.random(700).astype(np.float32), "a": rng.random(3).astype(np.float32)}
    write_curves(tmp_path / "x.h5", Curves(0.08, curves))
    step_s, found = read_curves(tmp_path / "x.h5")
    assert step_s == 0.08
    assert list(found) == ["b", "a"]
    assert all(np.array_equal(found[name], curves[name]) and found[name].dtype == np.float32 for name in curves)


def test_a_damaged_file_is_refused(tmp_path):
    write_curves(tmp_path / "x.h5", Curves(0.08, {"a": np.zeros(9, dtype=np.float32)}))
    content = bytearray((tmp_path / "x.h5").read_bytes())
    content[700] ^= 255
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_curves(tmp_path / "x.h5")
    assert refused.value.where == str(tmp_path / "x.h5")
