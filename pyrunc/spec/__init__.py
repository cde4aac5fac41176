"""config.json as types (runtime-spec 1.3): load.py reads one, rules.py holds it against the spec."""
