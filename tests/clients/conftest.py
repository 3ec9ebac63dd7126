"""The fixtures of the tests with real clients."""

from claude import claude_code, opencode
from claude_workspace import bare, workspace

__all__ = ["bare", "claude_code", "opencode", "workspace"]
