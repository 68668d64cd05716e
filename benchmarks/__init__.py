"""How fast siwcc is, compared with the reference implementation: `python -m benchmarks`, or `make bench`."""
