"""How fast siwcc is, against the study as its published scripts work: `python -m benchmarks`, or `make bench`."""
