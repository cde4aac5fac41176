"""Real engines drive pyrunc, and runc for comparison: `pytest tests/engines`, `python -m tests.engines --write-docs`.

The engines are Debian's packages. Each runs in a Box: namespaces and cgroups of its own, without network, gone with
the test session. An operation is one function that drives an engine; it is run with either runtime.
"""
