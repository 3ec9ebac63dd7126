"""Puts what a script has made into a document, between two comments that mark its place."""

from __future__ import annotations


def with_block(text: str, name: str, block: str) -> str:
    """Return a document with a block between `<!-- name -->` and `<!-- end of name -->`.

    Raises:
        ValueError: The document has no such place, or several.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the document needs one place for {name!r}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}{block}\n{end}{rest.partition(end)[2]}"
