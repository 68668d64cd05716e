"""Predictions without a network."""
