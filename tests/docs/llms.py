"""Writes `llms.txt`, by which a model finds its way through the documents (llmstxt.org).

`python tests/docs/llms.py` writes it from the site's navigation; a test sees that it is up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from site_pages import ROOT, configuration, navigation

FILE = "llms.txt"
_OPTIONAL = "The code"
"""The section that a reader short of room passes over; the format calls it so."""
_SENTENCE = re.compile(r"(.+?[.?]|.+:)(?=\s|$)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def summary(page: str) -> str:
    """Return the first sentence of a page, without links.

    Raises:
        ValueError: What comes right after its title is no sentence.
    """
    paragraph = page.partition("\n")[2].strip().partition("\n\n")[0]
    found = _SENTENCE.match(" ".join(_LINK.sub(r"\1", paragraph).split()))
    if found is None or not re.match(r"\w|`(?!``)", found[1]):
        raise ValueError(f"a page begins with a sentence that says what it is about, not with {paragraph!r}")
    return re.sub(r":$", ".", found[1])


def written(root: Path) -> str:
    """Return the file as it should be for the documents of a repository."""
    project = configuration(root)
    parts = [f"# {project['site_name']}", f"> {project['site_description']}", _introduction(root)]
    sections = navigation(root)
    for title in sorted(sections, key=lambda each: each == _OPTIONAL):
        lines = [
            f"- [{name}]({path}): {summary((root / path).read_text(encoding='utf-8'))}"
            for name, path in sections[title].items()
        ]
        parts.append(f"## {'Optional' if title == _OPTIONAL else title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _introduction(root: Path) -> str:
    """Return the README's first paragraph, without links."""
    paragraph = (root / "README.md").read_text(encoding="utf-8").split("\n\n")[1]
    return _LINK.sub(r"\1", paragraph)


if __name__ == "__main__":
    (ROOT / FILE).write_text(written(ROOT), encoding="utf-8")
