"""The patch forms do what their specifications say."""

from __future__ import annotations

from typing import Any

import pytest
from emulated import Json, deployment

from kube_emulator import ApiError
from kube_emulator.managers import apply
from kube_emulator.ownership import from_fields, to_fields, values
from kube_emulator.patches import json_patch, merge_patch, strategic_patch

RFC_7386: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7386)
def test_merge_patches_follow_the_examples_of_the_standard(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_a_failed_test_operation_leaves_the_object_alone() -> None:
    target = {"a": 1}
    with pytest.raises(ApiError) as caught:
        json_patch(
            target, [{"op": "replace", "path": "/a", "value": 2}, {"op": "test", "path": "/a", "value": 3}]
        )
    assert caught.value.code == 422
    assert target == {"a": 1}


def pod(*containers: Json, **more: Any) -> Json:
    return {"spec": {"containers": list(containers), **more}}


A, B = {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}


def strategic(target: Json, patch: Json) -> Json:
    before = repr(target)
    result = strategic_patch(target, patch, "V1Pod")
    assert repr(target) == before
    return dict(result["spec"])


def test_strategic_patches_merge_containers_by_name() -> None:
    merged = strategic(pod(A, B), pod({"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}))
    assert merged["containers"] == [A, {"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}]


def test_strategic_patches_replace_lists_that_have_no_key() -> None:
    old = {"key": "old", "operator": "Exists"}
    new = {"key": "new", "operator": "Exists"}
    assert strategic(pod(A, tolerations=[old]), {"spec": {"tolerations": [new]}})["tolerations"] == [new]


def test_strategic_patches_delete_and_replace_by_directive() -> None:
    deleted = strategic(pod(A, B), pod({"$patch": "delete", "name": "a"}))
    assert deleted["containers"] == [B]
    replaced = strategic(pod(A, B), pod({"$patch": "replace"}, {"name": "c"}))
    assert replaced["containers"] == [{"name": "c"}]
    whole = strategic_patch(pod(A), {"spec": {"$patch": "replace", "nodeName": "n"}}, "V1Pod")
    assert whole == {"spec": {"nodeName": "n"}}


def test_strategic_patches_set_the_order_of_elements() -> None:
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}
    assert strategic(pod(A, B), {"spec": order})["containers"] == [B, A]


def test_strategic_patches_retain_only_the_named_keys() -> None:
    volume = {"name": "v", "emptyDir": {}}
    patch = {"$retainKeys": ["name", "secret"], "name": "v", "secret": {"secretName": "s"}}
    merged = strategic(pod(A, volumes=[volume]), {"spec": {"volumes": [patch]}})
    assert merged["volumes"] == [{"name": "v", "secret": {"secretName": "s"}}]


def test_strategic_patches_take_plain_values_out_of_sets() -> None:
    target = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}
    assert strategic_patch(target, patch, "V1Pod") == {"metadata": {"finalizers": ["b", "c"]}}


def test_an_element_without_its_key_is_refused() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic(pod(A), pod({"image": "x"}))


def test_field_sets_survive_their_written_form() -> None:
    paths = set(values(deployment(), "V1Deployment"))
    assert from_fields(to_fields(paths)) == paths


def applied(old: Json | None, wanted: Json, manager: str, force: bool = False) -> Json:
    return apply(old, wanted, "V1ConfigMap", manager, "2026-01-01T00:00:00Z", force)


def data(**entries: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": entries}


def test_apply_removes_what_its_manager_no_longer_wants() -> None:
    first = applied(None, data(a="1", b="2"), "one")
    assert applied(first, data(a="1"), "one")["data"] == {"a": "1"}


def test_apply_leaves_what_others_own() -> None:
    both = applied(applied(None, data(a="1"), "one"), data(b="2"), "two")
    assert both["data"] == {"a": "1", "b": "2"}
    assert applied(both, data(c="3"), "one")["data"] == {"b": "2", "c": "3"}


def test_apply_conflicts_on_another_value_and_shares_the_same_one() -> None:
    first = applied(None, data(a="1"), "one")
    with pytest.raises(ApiError, match=r'conflict with "one": \.data\.a'):
        applied(first, data(a="2"), "two")
    assert applied(first, data(a="2"), "two", force=True)["data"] == {"a": "2"}
    shared = applied(first, data(a="1"), "two")
    assert applied(shared, data(), "one")["data"] == {"a": "1"}
