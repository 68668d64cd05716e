"""Signal intensity-weighted coordinate channels: the encoding, the study, the localiser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siwcc.inference.loading import load_detector, load_model
    from siwcc.inference.onset_detector import OnsetDetector
    from siwcc.inference.onsets import Onset, Onsets
    from siwcc.inference.prediction import Prediction
    from siwcc.inference.predictor import Predictor
    from siwcc.io.errors import InputError
    from siwcc.nn.coordinate_channels import CoordinateChannels, encode

__version__ = "0.2.0"
__all__ = [
    "CoordinateChannels",
    "InputError",
    "Onset",
    "OnsetDetector",
    "Onsets",
    "Prediction",
    "Predictor",
    "__version__",
    "encode",
    "load_detector",
    "load_model",
]

_LAZY = {
    "CoordinateChannels": "siwcc.nn.coordinate_channels",
    "InputError": "siwcc.io.errors",
    "Onset": "siwcc.inference.onsets",
    "OnsetDetector": "siwcc.inference.onset_detector",
    "Onsets": "siwcc.inference.onsets",
    "Prediction": "siwcc.inference.prediction",
    "Predictor": "siwcc.inference.predictor",
    "encode": "siwcc.nn.coordinate_channels",
    "load_detector": "siwcc.inference.loading",
    "load_model": "siwcc.inference.loading",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import siwcc` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module 'siwcc' has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module(_LAZY[name]), name)
    except ModuleNotFoundError as error:
        from siwcc.io.extras import absent_extra

        line = absent_extra(f"siwcc.{name}", error)
        raise (ImportError(str(line)) if line is not None else error) from error


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
