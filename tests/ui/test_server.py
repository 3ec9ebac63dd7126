"""The page's server: who may ask, what it tells, live too, and what a person can do through it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from domain_worker import Worker, at_work, domain_worker
from served_page import Page, served


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with domain_worker(tmp_path_factory.mktemp("domain")) as worker:
        at_work(worker)
        yield worker


@pytest.fixture(scope="module")
def page(worker: Worker) -> Iterator[Page]:
    with served(cwd=worker.folder) as page:
        page.live_until("finish")
        yield page


def test_who_has_no_token_or_another_one_learns_nothing(page: Page) -> None:
    for headers in ({}, {"Authorization": "Bearer guessed"}, {"Authorization": page.token}):
        for path in ("api/stories", "api/0/steps", "api/0/live", "api/0/values?v=1"):
            answer = httpx.get(page.url + path, headers=headers)
            assert answer.status_code == 401
            assert "coagent ui" in answer.json()["error"]["cure"]
        assert httpx.post(page.url + "api/0/act", headers=headers, json={}).status_code == 401


def test_a_request_that_names_another_host_is_refused(page: Page) -> None:
    headers = {"Host": "evil.example", "Authorization": f"Bearer {page.token}"}
    assert httpx.get(page.url + "api/stories", headers=headers).status_code == 400


def test_the_page_runs_only_its_own_scripts_and_asks_nobody_else(page: Page) -> None:
    answer = page.client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert f'nonce="{nonce}"' in answer.text
    assert page.client.get("/").headers["Content-Security-Policy"] != policy


def test_steps_are_told_once_in_order_and_from_any_number_on(page: Page) -> None:
    steps = page.steps()
    assert [one["kind"] for one in steps[:6]] == ["join", "join", "call", "call", "call", "finish"]
    assert [one["n"] for one in steps] == sorted({one["n"] for one in steps})
    third = steps[2]["n"]
    assert page.steps(third) == steps[3:]
    assert steps[2]["writes"][0]["key"] == "file:a.txt"
    assert steps[2]["args"] == {"path": "a.txt", "content": "two\n"}


def test_values_are_told_by_number(page: Page) -> None:
    write = page.steps()[2]["writes"][0]
    values = page.client.get("/api/0/values", params={"v": f"{write['v']},0"}).json()
    assert values[str(write["v"])] == {"kind": "text", "text": "two\n", "size": 4, "cut": False}
    assert values["0"]["kind"] == "absent"
    assert page.client.get("/api/0/values", params={"v": "9999"}).status_code == 400
    assert page.client.get("/api/7/steps").status_code == 400


def test_who_looks_on_is_told_of_a_change_and_of_the_notice_it_causes(tmp_path: Path) -> None:
    with domain_worker(tmp_path) as worker:
        at_work(worker)
        with served(cwd=tmp_path) as page:
            written = worker.do("write_file", "A", {"path": "a.txt", "content": "three\n"})
            assert written is not None
            assert worker.do("notices", "B") == ["file:a.txt"]
            steps = page.live_until("told")
            told = steps[-1]
            notice = told["notices"][0]
            cause = next(one for one in steps if one["n"] == notice["cause"]["n"])
            assert (cause["call"], cause["id"]) == (notice["cause"]["call"], "A.2")
            assert notice["calls"] == ["1:1"]
            assert notice["diff"].splitlines()[-2:] == ["-two", "+three"]
            assert any(one["kind"] == "again" and one["cause"]["call"] == "0:2" for one in steps)


def test_a_person_undoes_a_call_and_takes_that_back(tmp_path: Path) -> None:
    with domain_worker(tmp_path) as worker, served(cwd=tmp_path) as page:
        at_work(worker)
        page.live_until("finish")
        seen, done = page.do(act="undo", call="0:1")
        assert seen["changes"][0]["key"] == "file:a.txt"
        assert seen["changes"][0]["diff"].splitlines()[-2:] == ["-two", "+one"]
        assert "B.1 would run again" in seen["lines"]
        assert not seen["unsure"]
        assert (tmp_path / "a.txt").read_text() == "one\n"
        assert "A.1 write_file was taken back" in done["lines"]
        _, again = page.do(**done["back"])
        assert (tmp_path / "a.txt").read_text() == "two\n"
        assert "file:a.txt is as it was in record" in again["lines"][0]


def test_a_call_that_would_run_again_is_told_with_what_it_may_change(tmp_path: Path) -> None:
    with domain_worker(tmp_path) as worker, served(cwd=tmp_path) as page:
        for name in ("A", "B"):
            worker.do("join", name)
        worker.do("write_file", "A", {"path": "a.txt", "content": "two\n"})
        worker.do("edit_file", "B", {"path": "a.txt", "old_string": "two", "new_string": "TWO"})
        worker.do("write_file", "B", {"path": "b.txt", "content": "b\n"})
        assert worker.do("finish", "B") == "waiting"
        page.live_until("finish")
        seen = page.client.post("/api/0/preview", json={"act": "undo", "call": "0:1"}).json()
        assert seen["lines"] == ["A.1 would be taken back", "B.1 would run again, and may change file:a.txt"]
        assert (seen["changes"], seen["unsure"]) == ([], True)


def test_of_two_people_who_undo_at_once_the_second_is_told_to_look_again(tmp_path: Path) -> None:
    with domain_worker(tmp_path) as worker, served(cwd=tmp_path) as page:
        at_work(worker)
        page.live_until("finish")
        body = {"act": "abort", "agent": 1}
        tickets = [page.client.post("/api/0/preview", json=body).json()["ticket"] for _ in range(2)]
        first, second = (page.client.post("/api/0/act", json={**body, "ticket": one}) for one in tickets)
        assert first.status_code == 200
        assert "B was ended" in first.json()["lines"]
        assert second.status_code == 409
        looked = page.client.post("/api/0/preview", json=body).json()
        assert not looked["possible"]
        assert "that agent has ended" in looked["why_not"]
        assert not (tmp_path / "b.txt").exists()


def test_where_only_a_log_is_named_nothing_can_be_changed(worker: Worker) -> None:
    with served(f"sqlite:{worker.log}", cwd=worker.folder) as page:
        assert page.client.get("/api/stories").json()["actions"] is False
        refused = page.client.post("/api/0/preview", json={"act": "abort", "agent": 0})
        assert refused.status_code == 400
        assert "coagent ui FILE" in refused.json()["error"]["cure"]


def test_an_export_holds_the_steps_and_values_and_no_script_of_others(worker: Worker, tmp_path: Path) -> None:
    worker.do("join", "C")
    worker.do("write_file", "C", {"path": "c.txt", "content": "</script><script>alert(1)</script>"})
    page = tmp_path / "run.html"
    done = worker.coagent("ui", f"sqlite:{worker.log}", "--export", str(page))
    assert done.returncode == 0, done.stderr
    assert os.stat(page).st_mode & 0o077 == 0
    text = page.read_text()
    assert "<script>alert" not in text
    start = text.index('id="coagent-story">') + len('id="coagent-story">')
    data = json.loads(text[start : text.index("</script>", start)])
    call = next(one for one in data["stories"][0]["steps"] if one.get("id") == "C.1")
    assert "alert(1)" in data["values"]["0"][str(call["writes"][0]["v"])]["text"]


def test_a_port_that_is_taken_is_named(page: Page, worker: Worker) -> None:
    port = page.url.rstrip("/").rpartition(":")[2]
    done = worker.coagent("ui", "--port", port)
    assert done.returncode == 2
    assert "cannot be had" in done.stderr
