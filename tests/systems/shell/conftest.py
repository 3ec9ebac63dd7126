"""The workspace that the tests of the sandbox share."""

from conftest_sandbox import workspace

__all__ = ["workspace"]
