"""Diffs for reading: right where they are short, bounded where they are not."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from coagent.protocol.differences import brief, difference, leaves
from coagent.protocol.literals import carries, replaced_literals, with_literals
from coagent.protocol.values import Value, same

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([1.0, float("nan"), "1", b"1", ""])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner)
)


HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@settings(max_examples=500, deadline=None)
@given(LINES, LINES)
def test_a_diff_of_texts_turns_the_one_into_the_other(old: list[str], new: list[str]) -> None:
    shown = difference("".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new) or "\n")
    new = new or [""]
    made, at = [], 0
    for line in shown.split("\n")[2:] if old != new else []:
        hunk = HUNK.match(line)
        if hunk is not None:
            first = int(hunk[1]) - (hunk[2] != "0")
            made += old[at:first]
            assert len(made) == int(hunk[3]) - (hunk[4] != "0")
            at = first
        elif line[0] == "+":
            made.append(line[1:])
        else:
            assert old[at] == line[1:]
            made += [line[1:]] * (line[0] == " ")
            at += 1
    assert made + old[at:] == new


def test_lines_are_counted_from_the_beginning_of_the_text() -> None:
    old = [f"line {number}" for number in range(50_000)]
    new = [*old]
    new[40_000] = "changed"
    assert difference("\n".join(old), "\n".join(new)) == "\n".join(
        [
            "--- before",
            "+++ after",
            "@@ -39999,5 +39999,5 @@",
            " line 39998",
            " line 39999",
            "-line 40000",
            "+changed",
            " line 40001",
            " line 40002",
        ]
    )


@settings(deadline=None)
@given(st.lists(VALUES, max_size=5), st.lists(VALUES, max_size=5))
def test_members_of_lists_are_told_apart_as_values_are(before: list[Value], after: list[Value]) -> None:
    if len(before) == len(after):
        return
    found = list(leaves(before, after))
    gone = [old for old in before if not any(same(old, new) for new in after)]
    come = [new for new in after if not any(same(new, old) for old in before)]
    assert same(
        [leaf.before for leaf in found if leaf.before is not None], [x for x in gone if x is not None]
    )
    assert same([leaf.after for leaf in found if leaf.after is not None], [x for x in come if x is not None])


def test_what_is_large_is_summed_up() -> None:
    old, new = "a\n" * 20_000, "b\n" * 30_000
    assert difference(old, new) == (
        "text of 20000 lines -> text of 30000 lines; they differ from line 1 on, and the last 0 are the same"
    )
    assert len(difference("x" * 10_000_000 + "\n", "y" * 10_000_000 + "\n")) < 2000
    numbers = list(range(50_000))
    assert difference(numbers, [str(number) for number in range(50_001)]).endswith("… and more")
    assert len(replaced_literals(numbers, [*map(str, numbers), ""])) == 200
    assert brief({"a": numbers}) == "(an object of 1 items)"
    assert brief([1, 2]) == "[1, 2]"


def test_of_lists_of_names_is_shown_what_came_and_what_went() -> None:
    assert difference(["kv:a", "kv:b"], ["kv:a", "kv:c"]) == "- kv:b\n+ kv:c"
    assert difference(["kv:b"], ["kv:a", "kv:b"]) == "+ kv:a"
    assert difference(["kv:a", "kv:b"], []) == "- kv:a\n- kv:b"
    assert difference(["a", "b"], ["b", "a"]) == "['a', 'b'] -> ['b', 'a']", "the same names otherwise"
    assert difference(["a", "a"], ["a", "b"]) == "/1: a -> b", "no names, but words at places"
    many = [f"kv:{number}" for number in range(1_000)]
    assert difference([], many).splitlines()[-2:] == ["+ kv:499", "… and more"]


def test_what_came_into_a_list_of_names_does_not_take_the_place_of_what_went() -> None:
    """A later write that names what went is not told to name what came instead."""
    assert replaced_literals(["kv:a", "kv:b"], ["kv:a", "kv:c"]) == [("kv:b", None)]


def test_texts_of_several_lines_within_a_value_are_compared_line_by_line_however_long_they_are() -> None:
    same_lines = "".join(f"line {number} of the output\n" for number in range(40))
    found = difference({"output": f"{same_lines}1 failed\n"}, {"output": f"{same_lines}2 failed\n"})
    assert found.startswith("/output:\n")
    assert "-1 failed" in found.splitlines()
    assert "+2 failed" in found.splitlines()
    assert "line 0 of the output" not in found


def test_a_long_text_that_has_changed_in_three_places_shows_these() -> None:
    old = [f"line {number}" if number % 3 else "}" for number in range(2_600)]
    new = [*old]
    new[2_402], new[7] = "last", "first"
    new.insert(1_300, "middle")
    shown = difference("\n".join(old), "\n".join(new)).split("\n")
    assert [line for line in shown if line[0] in "+-"] == [
        "--- before", "+++ after", "-line 7", "+first", "+middle", "-line 2402", "+last"
    ]  # fmt: skip
    assert [line for line in shown if line[0] == "@"] == [
        "@@ -6,5 +6,5 @@", "@@ -1299,4 +1299,5 @@", "@@ -2401,5 +2402,5 @@"
    ]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2_999), st.sampled_from(["z", "x", "x\ny"])), max_size=6))
def test_a_long_diff_has_all_lines_that_went_and_came(edits: list[tuple[int, str]]) -> None:
    old = [f"line {number}" if number % 5 else "}" for number in range(3_000)]
    new = [*old]
    for at, text in edits:
        new[at] = text
    after = "\n".join(new).split("\n")
    shown = difference("\n".join(old), "\n".join(after)).split("\n")[2:]
    gone, come = Counter(old), Counter(after)
    assert Counter(line[1:] for line in shown if line[0] == "-") >= gone - come
    assert Counter(line[1:] for line in shown if line[0] == "+") >= come - gone


def test_lines_that_were_found_and_only_moved_are_counted_and_no_more() -> None:
    lines = [f"a.txt:{number}: hit {number % 7}" for number in range(1, 400)]
    moved = [f"a.txt:{number + 1}: hit {number % 7}" for number in range(1, 400)]
    assert difference(lines, moved) == "(of 399 lines only the line numbers moved)"
    assert replaced_literals(lines, moved) == []
    before = {"file:a": [[3, "image = bad"], [9, "x"]]}
    after = {"file:a": [[4, "image = good"], [10, "x"]]}
    assert difference(before, after).split("\n") == [
        "- file:a:3: image = bad",
        "+ file:a:4: image = good",
        "(of 1 lines only the line numbers moved)",
    ]
    assert replaced_literals(before, after) == [("bad", "good")]


def test_rows_behind_one_that_has_gone_have_not_changed() -> None:
    rows: list[Value] = [{"id": number, "text": f"row {number}"} for number in range(6)]
    assert difference(rows[:5], rows[1:]).split("\n") == [
        "{'id': 0, 'text': 'row 0'} -> (gone)",
        "(absent) -> {'id': 5, 'text': 'row 5'}",
    ]


def test_a_literal_is_replaced_as_a_whole_word_only() -> None:
    assert carries("total 100.", "100")
    for other in ("total 1000", "total 100.5", "x-100", "100-x", "100,000", "a100"):
        assert not carries(other, "100"), other
    assert with_literals({"a": "total 1000 of 100", "b": [100]}, {"100": "250"}) == {
        "a": "total 1000 of 250", "b": [250]
    }  # fmt: skip


def test_words_of_single_lines_are_paired_where_it_is_clear() -> None:
    found = dict(replaced_literals("total 1000 at web-1", "total 2500 at web-2"))
    assert (found["1000"], found["web-1"]) == ("2500", "web-2")
    found = dict(replaced_literals("delete the old file", "keep a new one now"))
    assert set(found.values()) == {"keep a new one now", None}
    assert dict(replaced_literals({"a": 1, "b": 1}, {"a": 2, "b": 3})) == {"1": None}


def test_a_name_is_found_behind_the_dot_of_its_module_and_a_number_is_not() -> None:
    assert carries("lib.fetch('b')", "fetch")
    assert not carries("prefetch('b')", "fetch")
    assert not carries("1.250", "250")
