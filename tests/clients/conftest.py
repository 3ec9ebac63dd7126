"""The fixtures of the tests with real clients."""

from claude import claude_code, opencode

__all__ = ["claude_code", "opencode"]
