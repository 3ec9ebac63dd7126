"""The workspace that the tests of git in the governed shell share."""

from conftest_sandbox import workspace

__all__ = ["workspace"]
