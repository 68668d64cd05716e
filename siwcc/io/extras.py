"""Packages that come only with an extra of siwcc, and what to say where one is absent."""

from __future__ import annotations

from siwcc.io.errors import InputError

OF_EXTRA: dict[str, tuple[str, ...]] = {
    "predict": (
        *("PIL", "cv2", "h5py", "imagecodecs", "matplotlib", "pandas", "pydantic"),
        *("rich", "scipy", "shtab", "tifffile", "wfdb", "yaml"),
    ),
    "study": ("jinja2", "markupsafe", "psutil", "py7zr", "requests", "ruptures", "sklearn", "snakemake"),
    "export": ("onnx", "onnxscript"),
}
"""Names as they are imported, by the extra of pyproject.toml that brings them."""


def absent_extra(command: str, error: ModuleNotFoundError) -> InputError | None:
    """The line for a command that needs an extra which is not installed.

    Args:
        command: What the user gave, `siwcc report` say.
        error: What came of it.

    Returns:
        None if the module belongs to no extra: then something else is wrong, and the error should be seen.
    """
    package = (error.name or "").partition(".")[0]
    for extra, packages in OF_EXTRA.items():
        if package in packages:
            way_out = f"in a copy of the repository: pip install '.[{extra}]'"
            return InputError(command, f"needs siwcc[{extra}] ({package} is not installed)", way_out)
    return None
