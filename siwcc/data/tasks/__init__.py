"""The tasks: shapes, units and limits."""
