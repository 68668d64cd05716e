"""Augmented copies of each task's samples, and what networks are given of them."""
