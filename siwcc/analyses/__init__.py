"""Studies of the study: the leakage ablation, the overlap of windows, and controls."""
