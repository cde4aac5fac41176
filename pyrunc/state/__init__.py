"""What outlives a command: the state directory, and what it says about a container."""
