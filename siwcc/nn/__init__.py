"""The coordinate channels, and the networks."""
