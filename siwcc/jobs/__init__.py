"""What a job of the workflow needs."""
