"""The cases, one file per chapter of the spec; each function is a case (conformance/case.py)."""
