"""How long every command takes, and how much memory, beside runc and crun: `make bench`."""
