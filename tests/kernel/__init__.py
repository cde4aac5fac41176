"""One room against real Linux: each module of pyrunc/kernel does what its man page says."""
