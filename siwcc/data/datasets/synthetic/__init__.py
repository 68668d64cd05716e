"""Synthetic raw files in the formats of the published data sets."""
