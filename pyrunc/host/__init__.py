"""The outside process: what a command does on the host."""
