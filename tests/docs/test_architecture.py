"""docs/index.md shows the tree and the layers as they are."""

from __future__ import annotations

import re

import pytest
from architecture import INDEX, PICTURE, PRODUCT, contracts, drawn, layers, picture, purpose

TEXT = INDEX.read_text(encoding="utf-8")
_APART = {"audit"}
"""What no layer holds: contracts of its own say who may import it, and that it imports nothing."""


def test_the_tree_the_picture_and_the_rules_are_up_to_date() -> None:
    assert drawn(TEXT) == TEXT, "python tests/docs/architecture.py draws them again"
    assert picture() == PICTURE.read_text(encoding="utf-8"), (
        "python tests/docs/architecture.py draws it again"
    )


def test_every_module_of_a_layer_is_in_the_picture() -> None:
    shown = re.findall(r">([\w.]+)</text>", picture())
    for name in ("layers", "systems"):
        listed = [module.removeprefix("systems.") for layer in layers(contracts()[name]) for module in layer]
        assert [module for module in listed if module not in shown] == []


def test_a_rule_or_a_module_too_many_would_be_seen() -> None:
    assert drawn(TEXT.replace("`log/`", "`gone/`")) == TEXT
    assert drawn(TEXT.replace("- Log engines", "- Nobody imports anything.\n- Log engines")) == TEXT


def test_every_module_of_the_product_has_its_layer() -> None:
    modules = {
        path.stem
        for path in PRODUCT.iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    listed = {module for layer in layers(contracts()["layers"]) for module in layer}
    assert modules - listed == _APART


def test_a_module_that_is_not_there_would_be_seen() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        purpose("nowhere")


def test_every_page_is_reached_from_the_first_one() -> None:
    pages = {str(page.relative_to(INDEX.parent)) for page in INDEX.parent.rglob("*.md")} - {"index.md"}
    linked = set(re.findall(r"\]\(([\w./-]+\.md)", TEXT + (INDEX.parent / "targets.md").read_text()))
    assert {page for page in pages - linked if not page.startswith("frameworks/")} == set()
