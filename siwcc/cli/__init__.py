"""The command `siwcc`: one module per command."""
