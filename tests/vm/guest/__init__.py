"""Files that the guest has from us."""
