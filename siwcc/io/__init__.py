"""Files, locks, checksums and the terminal."""
