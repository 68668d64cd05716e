"""Signal intensity-weighted coordinate channels: the encoding, the study, the localiser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siwcc.io.errors import InputError
    from siwcc.nn.coordinate_channels import CoordinateChannels

__version__ = "0.1.0"
__all__ = ["CoordinateChannels", "InputError", "__version__", "load_model", "load_models"]

_LAZY = {
    "CoordinateChannels": "siwcc.nn.coordinate_channels",
    "InputError": "siwcc.io.errors",
    "load_model": "siwcc.inference.predictor",
    "load_models": "siwcc.inference.predictor",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import siwcc` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'siwcc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
