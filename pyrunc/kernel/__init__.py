"""What Linux offers, under Linux's own names: modules follow the man pages and know nothing of containers."""
