"""Files are taken apart into keys; whatever cannot be is left whole, and nothing hangs or runs."""

from __future__ import annotations

import copy
import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coagent.toolsmith.parts import changed_keys, parts_of

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
FILES = ("a.json", "a.yaml", "a.toml", "a.ini", "a.conf", ".env", "etc/passwd", "a.db")


def same(left: Any, right: Any) -> bool:
    """Tell whether two documents are equal, 1 and True and 1.0 being three things."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def shop(script: str = "") -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, stock INT);"
        "INSERT INTO products VALUES(1,'lamp',4),(3,'desk',2);"
        "CREATE TABLE tags(product INT, tag TEXT, note, PRIMARY KEY(product, tag)) WITHOUT ROWID;"
        "INSERT INTO tags VALUES(1,'a/b',NULL); CREATE TABLE notes(text); INSERT INTO notes VALUES('x');"
        + script
    )
    data = connection.serialize()
    connection.close()
    return data


@given(DOCUMENTS, DOCUMENTS)
def test_no_key_changes_exactly_where_documents_are_equal_up_to_layout(left: Any, right: Any) -> None:
    before, after = json.dumps(left).encode(), json.dumps(right, indent=1).encode()
    changed = changed_keys("a.json", before, after)
    assert changed is not None
    assert (not changed - {"layout:a.json"}) == same(left, right)
    if same(left, right):
        assert changed == (frozenset() if before == after else {"layout:a.json"})


@given(st.dictionaries(NAMES, DOCUMENTS, min_size=1, max_size=5), st.data())
def test_to_set_a_member_changes_it_and_what_is_in_it_alone(document: dict[str, Any], data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(document)))
    other = copy.deepcopy(document)
    other[name] = data.draw(DOCUMENTS)
    for path, dump in (("a.json", json.dumps), ("a.yaml", lambda one: json.dumps(one, ensure_ascii=True))):
        key = f"{path[2:]}:{path}#/{name.replace('~', '~0').replace('/', '~1')}"
        changed = changed_keys(path, dump(document).encode(), dump(other).encode())
        if changed is None:  # YAML cannot say every text of JSON
            assert path == "a.yaml"
            continue
        assert all(one == key or one.startswith(f"{key}/") for one in changed - {f"layout:{path}"})
        assert bool(changed - {f"layout:{path}"}) or path == "a.yaml" or same(document, other)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z]{1,5}", fullmatch=True),
        st.from_regex(r"[a-z0-9]{0,5}", fullmatch=True),
        min_size=1,
    ),
    st.data(),
)
def test_keys_of_ini_files_change_one_by_one(values: dict[str, str], data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(values)))
    other = {**values, name: values[name] + "z"}
    for path, head in (("a.ini", "[Main]\n"), ("a.conf", "")):
        texts = [head + "".join(f"{key} = {one[key]}\n" for key in one) for one in (values, other)]
        section = "Main" if head else ""
        assert changed_keys(path, texts[0].encode(), texts[1].encode()) == {f"ini:{path}#{section}/{name}"}


@settings(max_examples=200)
@given(st.sampled_from(FILES), st.binary(max_size=200))
def test_any_bytes_are_taken_apart_or_left_whole(path: str, data: bytes) -> None:
    parts = parts_of(path, data)
    assert parts is None or all(key.split("#")[0].endswith(f":{path}") for key in parts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(16, len(shop()) - 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_a_damaged_database_is_taken_apart_or_left_whole(damages: list[tuple[int, int]]) -> None:
    data = bytearray(shop())
    for place, byte in damages:
        data[place] = byte
    parts = parts_of("a.db", bytes(data))
    assert parts is None or isinstance(parts, dict)


def test_rows_go_by_primary_key_or_rowid_and_the_schema_by_name() -> None:
    parts = parts_of("a.db", shop())
    assert parts is not None
    assert {"row:a.db#products/3", "row:a.db#tags/1/a~1b", "row:a.db#notes/1"} <= parts.keys()

    def changed(script: str) -> frozenset[str] | None:
        return changed_keys("a.db", shop(), shop(script))

    assert changed("UPDATE products SET stock=9 WHERE id=3;") == {"row:a.db#products/3"}
    assert changed("DELETE FROM products WHERE id=1;") == {"row:a.db#products/1"}
    assert changed("INSERT INTO notes VALUES('y');") == {"row:a.db#notes/2"}
    assert changed("CREATE INDEX named ON products(name);") == {"schema:a.db#index/named"}
    assert changed("PRAGMA user_version=3;") == {"schema:a.db#pragma/user_version"}
    assert changed("CREATE TABLE filler(x); DROP TABLE filler;") in (frozenset(), {"layout:a.db"})


def test_an_endless_view_is_not_computed() -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT count(*) AS c FROM n"
    assert parts_of("a.db", shop(f"CREATE VIEW endless AS {endless};")) is not None


@pytest.mark.parametrize(
    ("path", "before", "after", "expected"),
    [
        ("a.json", '{"a":{}}', '{"a":{"b":1}}', {"json:a.json#/a/b"}),
        ("a.json", "{}", '{"a":{"b":1}}', {"json:a.json#/a", "json:a.json#/a/b"}),
        ("a.json", '{"a":[1]}', '{"a":{"0":1}}', {"json:a.json#/a"}),
        ("a.json", "[1,2]", "[0,1,2]", {"json:a.json#/0", "json:a.json#/1", "json:a.json#/2"}),
        ("a.json", '{"a":1,"b":2}', '{ "b":2, "a":1 }', {"layout:a.json"}),
        ("a.yaml", "a: 1 # one\n", "a: 1\n", {"layout:a.yaml"}),
        ("a.yaml", "a: 1\n", 'a: "1"\n', {"yaml:a.yaml#/a"}),
        ("a.yaml", "a: 1\n---\nb: 2\n", "a: 1\n---\nb: 3\n", {"yaml:a.yaml#2/b"}),
        ("a.yaml", "a: &x 1\nb: *x\n", "a: &x 2\nb: *x\n", {"yaml:a.yaml#/a", "yaml:a.yaml#/b"}),
        ("a.toml", "[a]\nb = 1\n", "[a]\nb = 2\n", {"toml:a.toml#/a/b"}),
        ("a.toml", "a.b = 1\n", "[a]\nb = 1\n", {"layout:a.toml"}),
        (
            "a.ini",
            "[S]\nk = 1\n",
            "[s]\nk = 1\n",
            {"ini:a.ini#S", "ini:a.ini#S/k", "ini:a.ini#s", "ini:a.ini#s/k"},
        ),
        ("a.ini", "[layout]\n", "[layout]\n\n", {"layout:a.ini"}),
        (".env", "A=http://x\n", "A=http://y\n", {"ini:.env#/A"}),
        ("etc/group", "a:x:1:\nb:x:2:\n", "a:x:1:b\nb:x:2:\n", {"line:etc/group#a"}),
    ],
)
def test_what_changes(path: str, before: str, after: str, expected: set[str]) -> None:
    assert changed_keys(path, before.encode(), after.encode()) == expected


def test_to_make_or_remove_a_file_changes_the_file_and_its_parts() -> None:
    keys = {"file:a.json", "json:a.json#", "json:a.json#/a"}
    assert changed_keys("a.json", None, b'{"a":1}') == keys
    assert changed_keys("a.json", b'{"a":1}', None) == keys
    assert changed_keys("a.json", None, None) == frozenset()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.json", '{"a":1,"a":2}'),
        ("a.json", "[" * 100_000),
        ("a.json", "[" * 500 + "]" * 500),
        ("a.json", '{"\\ud800":1}'),
        ("a.json", "\ufeff{}"),
        ("a.json", " " * (1 << 21)),
        ("a.yaml", "a: 1\na: 2\n"),
        ("a.yaml", "? [a]\n: 1\n"),
        ("a.yaml", "[" * 50_000),
        ("a.yaml", "a: &a [*a]\n"),
        ("a.yaml", "a: *b\n"),
        (
            "a.yaml",
            "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(12)),
        ),
        ("a.toml", "a = 1\na = 2\n"),
        ("a.toml", "a = " + "[" * 50_000),
        ("a.toml", "a = " + "9" * 10_000),
        ("a.ini", "[a]\nk=1\nk=2\n"),
        ("a.ini", "[a]\nk=1\n l=2\n"),
        ("a.ini", "[a]\n" + " " * 100_000 + "x\n"),
        ("a.conf", "server {\n}\n"),
        ("etc/passwd", "a:x\na:y\n"),
        ("notes.txt", "a"),
        ("json", "{}"),
    ],
)
def test_what_cannot_be_taken_apart_counts_as_a_whole(path: str, text: str) -> None:
    assert parts_of(path, text.encode()) is None
    assert changed_keys(path, text.encode(), text.encode() + b"\n") is None
    assert changed_keys(path, text.encode(), text.encode()) == frozenset()


def test_nothing_in_a_yaml_file_is_constructed() -> None:
    parts = parts_of("a.yaml", b"a: !!python/object/apply:os._exit [3]\n")
    assert parts is not None
    assert parts["yaml:a.yaml#/a"] == "[] tag:yaml.org,2002:python/object/apply:os._exit"
