"""Fixtures of the tests against the real Linux."""

from tests.kernel.boxes import box

__all__ = ["box"]
