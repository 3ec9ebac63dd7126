"""Whether agents may be passed is said by who opens a domain, and kept by its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from coagent import ConfigurationError, open_domain, targets
from coagent.config.domain_file import configured
from coagent.runs.execute import execute
from coagent.runs.plan import make_plan
from coagent.runtime.domain import Domain

pytestmark = pytest.mark.anyio
FILES = '[[targets]]\nkind = "files"\nroot = "."\n'
SCRIPTS = """
def slow():
    yield "read_file", {"path": "a.txt"}

def quick():
    yield "write_file", {"path": "b.txt", "content": "b"}
"""
RUN = """
clock = "virtual"
[[targets]]
kind = "files"
root = "."
[[agents]]
name = "slow"
script = "scripts.py:slow"
think_s = 60
[[agents]]
name = "quick"
script = "scripts.py:quick"
"""


def opened(path: Path, order: str | None = None) -> Domain:
    return open_domain(f"sqlite:{path}", targets=[targets.Memory({})], order=order)  # type: ignore[arg-type]


def domain_file(folder: Path, text: str = FILES) -> Path:
    path = folder / "domain.toml"
    path.write_text(text)
    return path


async def order_of(domain: Domain) -> tuple[str | None, bool]:
    async with domain:
        return domain.order, domain.kernel.early


async def test_the_python_interface_fixes_the_order_of_a_new_log(tmp_path: Path) -> None:
    assert await order_of(opened(tmp_path / "log")) == ("fixed", False)


async def test_a_log_keeps_the_order_that_it_was_begun_with(tmp_path: Path) -> None:
    assert await order_of(opened(tmp_path / "log", "early")) == ("early", True)
    assert await order_of(opened(tmp_path / "log")) == ("early", True)
    with pytest.raises(ConfigurationError, match="was begun with order 'early', not 'fixed'") as refused:
        await order_of(opened(tmp_path / "log", "fixed"))
    assert "leave `order` out" in refused.value.cure


async def test_a_domain_that_people_work_in_lets_the_idle_be_passed(tmp_path: Path) -> None:
    path = domain_file(tmp_path)
    assert await order_of(configured(path).domain) == ("early", True)
    assert await order_of(configured(path).domain) == ("early", True)


async def test_a_domain_file_goes_on_with_a_log_that_was_begun_in_fixed_order(tmp_path: Path) -> None:
    path = domain_file(tmp_path)
    assert await order_of(configured(path, order="fixed").domain) == ("fixed", False)
    assert await order_of(configured(path).domain) == ("fixed", False)
    domain_file(tmp_path, f'order = "early"\n{FILES}')
    with pytest.raises(ConfigurationError, match="was begun with order 'fixed', not 'early'"):
        await order_of(configured(path).domain)


async def test_a_domain_file_may_say_it(tmp_path: Path) -> None:
    path = domain_file(tmp_path, f'order = "fixed"\n{FILES}')
    assert await order_of(configured(path).domain) == ("fixed", False)
    with pytest.raises(ConfigurationError, match=r"domain.toml:1.*order"):
        configured(domain_file(tmp_path, f'order = "late"\n{FILES}'))


async def test_a_baseline_has_an_order_of_its_own(tmp_path: Path) -> None:
    assert configured(domain_file(tmp_path, f'protocol = "2pl"\n{FILES}')).domain.order == "fixed"


@pytest.mark.parametrize(
    ("settings", "committed"), [("", ["slow", "quick"]), ('order = "early"\n', ["quick", "slow"])]
)
async def test_the_order_of_a_run_is_the_files_unless_it_says_otherwise(
    tmp_path: Path, settings: str, committed: list[str]
) -> None:
    (tmp_path / "scripts.py").write_text(SCRIPTS)
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "run.toml").write_text(settings + RUN)
    report = await execute(make_plan(tmp_path / "run.toml"))
    assert report.verdict.kind == "serial", report.verdict
    assert list(report.verdict.order) == committed


async def test_who_has_a_rank_in_a_run_file_is_not_passed(tmp_path: Path) -> None:
    (tmp_path / "scripts.py").write_text(SCRIPTS)
    (tmp_path / "a.txt").write_text("a")
    text = RUN.replace('name = "slow"', 'name = "slow"\nrank = 0')
    (tmp_path / "run.toml").write_text(f'order = "early"\n{text}')
    report = await execute(make_plan(tmp_path / "run.toml"))
    assert list(report.verdict.order) == ["slow", "quick"]
