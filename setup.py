"""The packages: siwcc, and models/ at the top of the repository as siwcc.models. All else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["siwcc*"]), "siwcc.models"], package_dir={"siwcc.models": "models"})
