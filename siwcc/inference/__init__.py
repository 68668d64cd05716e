"""Trained networks on new data."""
