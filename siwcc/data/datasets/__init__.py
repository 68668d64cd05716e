"""Readers of data sets, downloads, and synthetic data."""
