"""docs/reference is what the code says of itself, and leaves nothing public out."""

from __future__ import annotations

import re

import pytest
import reference_commands
import reference_config
from pydantic import BaseModel
from reference import FOLDER, TABLES, errors, pages

import coagent
import coagent.targets
from coagent.config.domain_file import DomainFile
from coagent.runs.file import RunFile
from coagent.systems.base import Table

PAGES = pages()


def headings(name: str) -> list[str]:
    """Return the headings of a page, of every level."""
    return re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", PAGES[name], flags=re.M | re.S), re.M)


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], (
        "python tests/docs/reference.py writes them again"
    )


def test_there_is_no_other_page() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_public_name_is_in_it() -> None:
    assert set(coagent.__all__) - {"targets"} <= set(headings("python.md"))
    assert set(coagent.targets.__all__) <= set(headings("targets.md"))
    assert all(issubclass(getattr(coagent, name), Exception) for name in errors())


def _tables(model: type[BaseModel]) -> set[type[BaseModel]]:
    inner = {reference_config.inner(field.annotation) for field in model.model_fields.values()}
    return {model}.union(*(_tables(each) for each in inner if each is not None))


def test_every_table_of_a_domain_file_and_a_run_file_is_in_it() -> None:
    listed = {model for tables in TABLES.values() for model in tables.values()}
    assert _tables(DomainFile) | _tables(RunFile) <= listed


@pytest.mark.parametrize("title", TABLES)
def test_every_setting_says_what_it_means(title: str) -> None:
    assert [
        setting
        for heading, model in TABLES[title].items()
        for setting in reference_config.undescribed(heading, model)
    ] == []


def test_a_setting_that_says_nothing_is_found() -> None:
    class Silent(Table):
        """A table.

        Args:
            said: Something.
        """

        said: int = 1
        unsaid: int = 2

    assert list(reference_config.undescribed("[silent]", Silent)) == ["[silent] unsaid"]


def test_every_command_is_in_it() -> None:
    names = [name for name, _ in reference_commands.commands()]
    assert {"coagent undo", "coagent tools list"} <= set(names) <= set(headings("commands.md"))
