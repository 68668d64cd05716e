"""Predictions on perturbed samples."""
