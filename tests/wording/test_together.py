"""Notices that come together: merged, bounded, what matters first; and what calls returned and return now."""

from __future__ import annotations

import pytest

import coagent
from coagent import State, tool
from coagent.errors import InvalidArguments
from coagent.protocol.calls import CallId, Cause
from coagent.protocol.inbox import CallNews, Moved, Proposal, StaleLiteral
from coagent.protocol.keys import Key
from coagent.protocol.participants import Rank
from coagent.protocol.values import Value
from coagent.runtime.amending import amend_as_asked
from coagent.runtime.notices import Notification, notification
from coagent.wording.notices import notices_text
from coagent.wording.quoting import Quoting
from coagent.wording.repairs import amended


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def told(
    name: str, before: Value, after: Value, *, by: int = 3, ends: CallNews | None = None, **more: object
) -> Notification:
    """Return the notice that an object has changed that B has read."""
    moved = Moved(Key(f"file:{name}"), None, before, after, Cause("A", CallId(f"A.{by}"), "bash", Rank(0)))
    moved.calls.append(ends or CallNews(CallId(f"B.{name}"), "read_file", "result_changed", before, after))
    for field, value in more.items():
        setattr(moved, field, value)
    return notification(moved, Quoting(b"key"))


def shown(notices: list[Notification]) -> str:
    return notices_text(notices, Quoting(b"key"))


def test_the_same_change_of_sixty_files_is_shown_once() -> None:
    notices = [told(f"f{n}.py", f"{n}\nold()\nx\n", f"{n}\nnew()\nx\n") for n in range(60)]
    lone = [told("same.py", "a\nold()\n", "a\nnew()\n", by=n) for n in range(60)]
    assert len(shown(notices)) < 7_500
    text = shown([told(f"f{n}.py", "a\nold()\n", "a\nnew()\n") for n in range(60)])
    assert text.count("+new()") == 1
    assert "(the same change in 60)" in text
    assert len(text) < 2_500
    assert len(shown(lone)) < 9_000


def test_what_fails_and_what_still_stands_somewhere_comes_first_and_is_shown_where_not_all_is() -> None:
    notices = [told(f"f{n}.py", f"{n}\n" * 90, f"{n + 1000}\n" * 90, by=n) for n in range(60)]
    stale = StaleLiteral(CallId("B.9"), "text", "old", "new")
    notices.append(told("stale.py", "old", "new", stale_literals=[stale]))
    failed = CallNews(CallId("B.8"), "edit_file", "withdrawn", "edited", "it is not there")
    notices.append(told("failed.py", "1", "2", ends=failed))
    text = shown(notices)
    assert text.index("file:failed.py") < text.index("file:stale.py") < text.index("file:f0.py")
    assert "it is not there" in text
    assert "B.9 still carries 'old'" in text
    assert "also changed, not shown here: " in text
    assert len(text) < 10_000


def test_a_sum_that_changed_is_shown_beside_what_it_is_the_sum_of() -> None:
    ends = CallNews(CallId("B.1"), "total", "result_changed", 100, 250)
    assert "B.1 returned 100 -> returns now 250" in shown([told("a", 60, 210, ends=ends)])
    rows = CallNews(CallId("B.1"), "rows", "result_changed", [{"n": 1}], [{"n": 1}, {"n": 2}])
    text = shown([told("", ["kv:a"], ["kv:a", "kv:b"], ends=rows)])
    assert "B.1 returns now:\n+ {'n': 2}" in text


def test_a_result_that_is_what_was_read_is_not_shown_twice() -> None:
    assert "what they return" not in shown([told("a", "one\ntwo\n", "one\nthree\n")])


def test_an_amended_call_is_proposed_as_data_and_never_ordered() -> None:
    stale = [StaleLiteral(CallId("B.2"), "spec", "1.0", "1.1")]
    notice = told(
        "a", "1.0", "1.1", stale_literals=stale, proposals=[Proposal(CallId("B.2"), "put", {"spec": "1.1"})]
    )
    assert notice.proposals == [Proposal(CallId("B.2"), "put", {"spec": "1.1"})]
    assert (
        'B.2 still carries the old value. If it came from there, amend B.2 with replace: '
        '[{"old": "1.0", "new": "1.1"}]'
    ) in notice.text  # fmt: skip


def test_an_amendment_of_a_part_of_an_object_keeps_the_rest() -> None:
    before = {"name": "web", "spec": {"image": "a:1", "replicas": 3, "env": {"x": "1"}}}
    changed = amended(before, {"arguments": {"spec": {"image": "a:2", "env": {"y": "2"}}}})
    assert changed == {
        "name": "web",
        "spec": {"image": "a:2", "replicas": 3, "env": {"x": "1", "y": "2"}},
    }
    assert amended(before, {"arguments": {"spec": {"replicas": None}}})["spec"].keys() == {"image", "env"}
    assert before["spec"] == {"image": "a:1", "replicas": 3, "env": {"x": "1"}}


def test_values_are_replaced_as_whole_words_wherever_they_stand() -> None:
    before = {"text": "total 100 of 1000", "rows": [{"n": 100}]}
    for replace in ([{"old": "100", "new": "250"}], {"old": "100", "new": "250"}):
        assert amended(before, {"replace": replace}) == {"text": "total 250 of 1000", "rows": [{"n": 250}]}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"arguments": "x"},
        {"replace": "x"},
        {"replace": [{"old": "a"}]},
        {"replace": [{"old": "", "new": "b"}]},
        {"replace": [{"old": "gone", "new": "b"}]},
    ],
)
def test_an_amendment_that_changes_nothing_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(InvalidArguments):
        amended({"text": "a"}, asked)


@tool
async def put(state: State, spec: dict[str, Value]) -> None:
    """Put."""
    await state.put("kv:x", spec)


@pytest.mark.anyio
async def test_a_preview_shows_the_call_and_amends_nothing() -> None:
    memory = coagent.targets.Memory({})
    async with coagent.open_domain("memory:", targets=[memory], tools=[put]) as domain:
        agent = await domain.join("A")
        made = await agent.call("put", spec={"image": "a:1", "replicas": 3})
        asked = {"call_id": made.call_id, "arguments": {"spec": {"image": "a:2"}}}
        seen = await amend_as_asked(agent, {**asked, "preview": True})
        assert '{"spec": {"image": "a:2", "replicas": 3}}' in str(seen.value)
        assert agent.calls[0].arguments == {"spec": {"image": "a:1", "replicas": 3}}
        await amend_as_asked(agent, asked)
        assert agent.calls[0].arguments == {"spec": {"image": "a:2", "replicas": 3}}
