"""Patterns: the same lines as Python's `re` finds where both know the syntax, and an end whatever is sent."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coagent
from coagent.log import codec
from coagent.protocol import patterns
from coagent.protocol.calls import Observation
from coagent.protocol.events import CallObserved, Joined
from coagent.protocol.keys import Scan, any_glob_matches, glob_matches
from coagent.protocol.mtpo import Mtpo
from coagent.protocol.patterns import TOO_LARGE, BadPattern, line_pattern
from coagent.protocol.predicates import MAYBE, Where, predicate
from coagent.protocol.values import Lines, Matches, copied
from coagent.tools.native import tool
from coagent.tools.state import State

DEADLINE_S = 60

LETTERS = ["a", "b", "ab", "é", "É", "ß", "1", "_", "-", ".", r"\.", r"\u00e9", "日"]
CLASSES = [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", "[ab]", "[^ab]", "[a-f]", r"[\w-]", r"[^\d]", "[]a]"]
CLASSES += [r"[\s\S]", r"[^\S]", r"[\W_]", "[^]a]"]
ATOMS = st.sampled_from(LETTERS + CLASSES)
REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "*?", "+?", "{2}", "{1,3}", "{,2}", "{2,}"])
ENDS = st.sampled_from(["", "", "", "^", "$", r"\A", r"\Z"])


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> str:
    """Return a benign pattern that both engines know."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        if depth and draw(st.booleans()):
            inner = draw(expressions(depth=depth - 1))
            opened = draw(st.sampled_from(["(", "(?:", "(?P<n>" if depth == 2 else "("]))
            if opened == "(?P<n>" and "(?P<n>" in "".join(parts):
                opened = "("
            parts.append(f"{opened}{inner}){draw(st.sampled_from(['', '', '?', '{1,2}']))}")
        else:
            parts.append(draw(ATOMS) + draw(REPEATS))
    text = draw(ENDS) + "".join(parts) + draw(ENDS)
    return f"{text}|{draw(ATOMS)}" if draw(st.integers(0, 4)) == 0 else text


TEXTS = st.text(st.sampled_from("aabbéÉß1_ -.\n\n\r日\t\x0c"), max_size=30)


def by_re(pattern: str, ignore_case: bool, text: str) -> list[list[object]]:
    """Return the lines as they were found before there was RE2, line by line."""
    search = re.compile(pattern, re.IGNORECASE if ignore_case else 0).search
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    bare = [line.rstrip("\r") for line in lines]
    return [[number, line] for number, line in enumerate(bare, 1) if search(line)]


@settings(max_examples=200, deadline=None)
@given(expressions(), st.booleans(), TEXTS)
def test_the_lines_found_are_those_that_re_finds(pattern: str, ignore_case: bool, text: str) -> None:
    try:
        wanted = by_re(pattern, ignore_case, text)
    except re.error:
        return
    assert Matches(pattern, ignore_case).of(text) == wanted, pattern


HOSTILE = {
    "(a+)+$": "a" * 100_000 + "!",
    r"^(\s*\w+,?)+;$": "from package import first_name, second_name, third_name, fourth_name\n" * 1000,
    "(a|a)*b": "a" * 200_000,
    "(.*a){20}b": "a" * 20_000,
    "(x+x+)+y": "x" * 200_000,
    r"^(\w+\s?)*$": "word " * 40_000 + "!",
    "(a?){500}a{500}b": "a" * 20_000,
    "(.*)*(.*)*(.*)*=": "b" * 100_000,
    r"(a|b)*a(a|b){900}c": "ab" * 20_000,
    ".{1000}x": "y" * 100_000,
    r"([\w.]+@)+[\w.]+": "a." * 100_000,
    "[日本]*日[日本]{900}月": "日本" * 10_000,
}


def test_hostile_patterns_come_to_an_end() -> None:
    """In a process of its own: nothing else could end a search that does not."""
    program = (
        "import json, sys\nfrom coagent.protocol.values import Matches\n"
        "for pattern, text in json.load(sys.stdin).items():\n"
        "    print(len(Matches(pattern).of(text)), len(Matches(pattern, True).of(text.upper())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(HOSTILE),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert len(done.stdout.splitlines()) == len(HOSTILE)


def test_hostile_globs_and_likes_come_to_an_end() -> None:
    program = (
        "from coagent.protocol.keys import glob_matches\n"
        "from coagent.protocol.predicates import Where, predicate\n"
        "print(glob_matches('*a' * 200 + 'b', 'a' * 4000), glob_matches('**/*/' * 60 + 'b', 'a/' * 2000))\n"
        "like = Where(predicate(['like', 'name', '%a' * 300 + '%b', True]))\n"
        "print(like.of({'name': 'a' * 100_000}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert done.stdout == "False False\nNone\n"


@pytest.mark.parametrize(
    ("pattern", "what", "cure"),
    [
        ("(?=a)b", "looking ahead", "pick from what is found"),
        ("(?<!a)b", "looking behind", "pick from what is found"),
        (r"(['\"]).*\1", r"the reference \1 to a group", "Write out"),
        ("(?P<q>a)(?P=q)", "to a group", "Write out"),
        ("(?>a+)b", "atomic groups", "(?:...)"),
        ("a++b", "possessive repetition", "Drop the second +"),
        ("(?(1)a|b)", "conditions", "a|b"),
        ("(?#why)a", "comments", "Leave"),
        (r"\bübung", "beside a letter that is not ASCII", r"(^|\W)"),
        (r"[^\W\d]", r"\W within a negated class", r"\p{L}"),
        ("a{1001}", "repetition size", "1000"),
        (r"\w{900}", "too large", "smaller counts"),
        ("a" * 2001, "2001 characters", "a part of it"),
        ("a(b", "missing )", "Escape"),
        ("a)(b", "unexpected )", "Escape"),
        ("*a", "no argument", "Escape"),
        ("[z-a]", "range", "Escape"),
        ("a\ud800", "not valid Unicode", "surrogates"),
    ],
)
def test_what_cannot_be_searched_for_says_why_and_what_to_write(pattern: str, what: str, cure: str) -> None:
    with pytest.raises(BadPattern) as caught:
        line_pattern(pattern)
    assert what in caught.value.cause
    assert repr(pattern[:60]) in caught.value.cause
    assert cure in caught.value.cure


def test_classes_go_by_unicode_and_word_ends_by_ascii() -> None:
    text = "größe 42 ٣\u00a0x\nab_c\n«»\n"
    assert Matches(r"^\w+ \d+ \d\s\w$").of(text) == [[1, "größe 42 ٣\u00a0x"]]
    assert Matches(r"\bb|\bab_c\b").of(text) == [[2, "ab_c"]]
    assert Matches(r"^\W+$").of(text) == [[3, "«»"]]
    assert Matches("GRÖSSE|GRÖẞE", True).of("größe") == [[1, "größe"]]
    assert Matches(r"\p{Greek}").of("a\nλ") == [[2, "λ"]]


def test_a_match_never_spans_lines_and_line_ends_are_no_part_of_a_line() -> None:
    text = "a\r\nb\n\n\nc"
    assert Matches(r"a\s*b|a[^x]b|(?s)a.b").of(text) == []
    assert Matches("^$").of(text) == [[3, ""], [4, ""]]
    assert Matches("[ab]$").of(text) == [[1, "a"], [2, "b"]]
    assert Matches("").of("") == []
    assert Matches("").of("\n") == [[1, ""]]
    assert Matches("^$").of("\n\r") == [[1, ""], [2, ""]]
    assert Matches("").of("\r\n\r\n") == [[1, ""], [2, ""]]


def test_a_text_that_is_too_large_for_its_pattern_says_so_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_STEPS_MAX", 10_000)
    assert Matches("b.{50}c").of("a" * 1000) == [[0, TOO_LARGE]]
    assert Matches("bc").of("a" * 1000 + "\nbc") == [[2, "bc"]]


def test_texts_that_are_not_valid_unicode_can_be_searched() -> None:
    assert Matches("b").of("a\n\ud800b") == [[2, "\ud800b"]]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(["%", "_", "a", "b", ".", "\n", "%%"]), max_size=6),
    st.text("ab.\n", max_size=12),
)
def test_like_patterns_mean_what_sql_means(pattern: list[str], value: str) -> None:
    steps = {"%": ".*", "_": "."}
    letters = "".join(pattern)
    wanted = re.fullmatch("".join(steps.get(one) or re.escape(one) for one in letters), value, re.DOTALL)
    where = Where(predicate(["like", "v", letters, False]))
    assert (where.of({"v": value}) is not None) == (wanted is not None)


def test_a_like_that_cannot_be_told_may_match() -> None:
    assert Where(predicate(["like", "v", "a" * 3000, False])).of({"v": "b"}) == {"v": "b"}
    assert Where(predicate(["not", ["like", "v", "b%", False]])).of({"v": "\ud800"}) is not None
    assert MAYBE == "maybe"


def test_globs_with_many_stars_mean_what_those_with_few_mean() -> None:
    assert glob_matches("*a*b*c*/d", "xaxbxcx/d")
    assert not glob_matches("*a*b*c*", "xaxbxcx/d")
    assert glob_matches("**/a*/**/b*/**/c*", "a/x/b1/y/z/c")
    assert glob_matches("*[ab]*[!c]*?.py", "xxadx.py")
    assert any_glob_matches(("x", "*a*a*a*"), "banana")
    assert not glob_matches("*.py", "a" * 5000 + "/b.py")
    assert glob_matches("x" * 3000, "anything")  # too long to be matched: it may be, so it counts as if


OLD = r"needle(?=\s)"


@tool
async def search(state: State, pattern: str) -> list[str]:
    """Search."""
    return list(await state.search("kv:", pattern))


def observed(pattern: str) -> list[str]:
    """Return the records of an agent below and one that has searched, as an earlier version wrote them."""
    scan = Scan("kv:", None, Matches(pattern))
    seen = Observation({}, {scan: {"kv:a": [[1, "needle x"]]}}, {}, {}, ["kv:a"], None)
    events = [
        Joined(agent="writer", rank=0),
        Joined(agent="searcher", rank=1),
        CallObserved(1, "search", {"pattern": pattern}, seen),
    ]
    return [codec.encode(event) for event in events]


def test_a_log_with_a_pattern_that_is_not_supported_any_more_can_be_replayed() -> None:
    kernel = Mtpo()
    for record in observed(OLD):
        kernel.step(codec.decode(record))
    changed = Observation({}, {}, {"kv:a": "needle y"}, {"kv:a": "needle x"}, None, None)
    kernel.step(CallObserved(0, "put", {}, changed))
    assert [call.agent for call in kernel.ready().reexecute] == ["searcher"]
    assert Matches(OLD).of("needle x") == []


@pytest.mark.anyio
async def test_a_tool_that_takes_a_pattern_fails_at_once_and_says_why() -> None:
    target = coagent.targets.Memory({"kv:a": "needle x\n"})
    async with coagent.open_domain("memory:", targets=[target], tools=[search]) as domain:
        agent = await domain.join("A")
        assert (await agent.call("search", pattern="needle")).value == ["kv:a"]
        with pytest.raises(coagent.ToolFailed) as caught:
            await agent.call("search", pattern=OLD)
        assert "looking ahead" in caught.value.cause
        assert caught.value.cure


def test_lines_far_down_are_read_as_those_near_by() -> None:
    text = "".join(f"line {number}\n" for number in range(1, 100_001)) + "end"
    assert Lines(99_999, 100_000).of(text) == "line 99999\nline 100000\n"
    assert Lines(100_001).of(text) == "end"
    assert Lines(100_002, 100_003).of(text) == ""
    assert Lines(3, 2).of(text) == ""


def test_values_that_lie_too_deep_in_one_another_are_refused() -> None:
    value: object = 1
    for _ in range(200):
        value = [value]
    assert copied(value) == value
    with pytest.raises(TypeError, match="more than 200 deep"):
        copied({"deep": value})
