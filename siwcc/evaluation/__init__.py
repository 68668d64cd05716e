"""From prediction files to tables, without torch."""
