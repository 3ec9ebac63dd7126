"""The page in a real browser while agents are at work: it goes on by itself, and people act from it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Person
from domain_worker import Worker, domain_worker
from gate import gate_to
from looking import chosen, panel, section
from playwright.sync_api import Page, Route, expect
from served_page import Page as Served
from served_page import served


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A domain in which each test has agents and files of its own."""
    with domain_worker(tmp_path_factory.mktemp("domain")) as worker:
        worker.do("join", "early")
        worker.do("write_file", "early", {"path": "early.txt", "content": "early\n"})
        yield worker


@pytest.fixture(scope="module")
def server(worker: Worker) -> Iterator[Served]:
    with served(cwd=worker.folder) as page:
        yield page


def address(server: Served, place: str = "") -> str:
    return f"{server.url}#token={server.token}{place}"


def two_at_work(worker: Worker, name: str) -> None:
    """Have one agent write a file, and another read it and write what it made of it."""
    for agent in (f"{name}1", f"{name}2"):
        worker.do("join", agent)
    worker.do("write_file", f"{name}1", {"path": f"{name}.txt", "content": "one\ntwo\n"})
    worker.do("read_file", f"{name}2", {"path": f"{name}.txt"})
    worker.do("write_file", f"{name}2", {"path": f"{name}-made.txt", "content": "two\n"})


def shows(page: Page, step: str) -> None:
    """Expect a step in the list, and let go of the words by which it was found."""
    search = page.get_by_role("searchbox")
    search.fill(step)
    expect(page.get_by_role("treegrid").locator(".row:not(.agent)").first).to_be_visible()
    search.fill("")


def test_what_happens_is_shown_without_loading_anew(person: Person, worker: Worker, server: Served) -> None:
    two_at_work(worker, "live")
    page = person.opens(address(server))
    expect(page.locator(".pill")).to_have_text("live")
    assert "token" not in page.url
    page.evaluate("() => { window.stillTheSame = true; }")
    shows(page, "live2.2")
    expect(section(page, "Notices")).to_have_count(0)
    worker.do("write_file", "live1", {"path": "live.txt", "content": "one\nthree\n"})
    worker.do("notices", "live2")
    notices = section(page, "Notices and their repairs")
    expect(notices).to_contain_text("live1.2 write_file of live1 changed file:live.txt")
    expect(notices).to_contain_text("live2 told")
    worker.do("write_file", "live2", {"path": "live-made.txt", "content": "three\n"})
    notices.get_by_role("link", name="live2 told").click()
    expect(section(page, "The repair").get_by_role("link", name="live-made.txt")).to_be_visible()
    assert page.evaluate("() => window.stillTheSame") is True


def test_an_undo_is_shown_before_it_is_done_and_can_be_taken_back(
    person: Person, worker: Worker, server: Served
) -> None:
    two_at_work(worker, "undo")
    file = worker.folder / "undo.txt"
    page = person.opens(address(server, "&key=file:undo.txt"))
    section(page, "Its value").get_by_role("link", name="undo1.1").click()
    panel(page).get_by_role("button", name="Undo undo1.1").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Take back undo1.1")
    expect(dialog).to_contain_text("undo1.1 would be taken back")
    expect(dialog).to_contain_text("undo2.1 would run again")
    expect(dialog.locator(".del")).to_have_text([re.compile("one"), re.compile("two")])
    expect(dialog).to_contain_text("does not exist any more")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert file.read_text() == "one\ntwo\n"
    panel(page).get_by_role("button", name="Undo undo1.1").click()
    dialog.get_by_role("button", name="Do it").click()
    expect(dialog).to_contain_text("undo1.1 write_file was taken back")
    assert not file.exists()
    dialog.get_by_role("button", name="Take it back").click()
    expect(dialog.locator(".add")).to_have_count(2)
    dialog.get_by_role("button", name="Do it").click()
    expect(dialog).to_contain_text("file:undo.txt is as it was in record")
    assert file.read_text() == "one\ntwo\n"
    dialog.get_by_role("button", name="Close").last.click()
    expect(section(page, "The whole life of this call")).to_contain_text("undo1.1")
    expect(panel(page).locator(".state-undone")).to_be_visible()


def test_of_two_pages_that_undo_at_once_the_second_is_told_to_look_again(
    person: Person, worker: Worker, server: Served
) -> None:
    two_at_work(worker, "twice")
    rank = server.live_until("join", name="twice2")[-1]["rank"]
    pages = [person.opens(address(server, f"&agent={rank}")) for _ in range(2)]
    for page in pages:
        panel(page).get_by_role("button", name="Abort twice2").click()
        expect(page.get_by_role("dialog").locator(".card")).to_contain_text("file:twice-made.txt")
    first, second = (page.get_by_role("dialog") for page in pages)
    worker.do("write_file", "twice2", {"path": "twice-made.txt", "content": "four\n"})
    first.get_by_role("button", name="Do it").click()
    expect(first).to_contain_text("Something has changed meanwhile. This is what it would do now")
    expect(first.locator(".del")).to_contain_text("four")
    first.get_by_role("button", name="Do it").click()
    expect(first).to_contain_text("twice2 was ended")
    assert not (worker.folder / "twice-made.txt").exists()
    second.get_by_role("button", name="Do it").click()
    expect(second).to_contain_text("that agent has ended")
    expect(second.get_by_role("heading")).to_have_text("There is nothing to do any more")
    expect(second.get_by_role("button", name="Do it")).to_have_count(0)


def test_a_write_of_somebody_outside_is_shown_as_one(person: Person, worker: Worker, server: Served) -> None:
    two_at_work(worker, "out")
    (worker.folder / "out.txt").write_text("one\ntwo\nthree\n")
    worker.do("read_file", "out2", {"path": "out.txt"})
    page = person.opens(address(server, "&key=file:out.txt"))
    line = section(page, "Its value").get_by_role("row").filter(has_text="three")
    expect(line).to_contain_text("outside")
    page.get_by_role("button", name="outside", exact=True).click()
    expect(page.get_by_role("treegrid").locator(".row:not(.agent)")).to_have_count(1)
    line.get_by_role("link").click()
    expect(chosen(page)).to_contain_text("outside write")
    expect(section(page, "Object").locator(".add")).to_have_text(re.compile("three"))


def test_what_others_wrote_runs_nothing_and_asks_nobody(
    person: Person, worker: Worker, server: Served
) -> None:
    mark = "<img src=http://elsewhere.example/x onerror=alert(1)>"
    markup = f"</script><script>alert(2)</script>{mark}<iframe src=http://elsewhere.example></iframe>\n"
    name = "<img src=x onerror=alert(3)>"
    worker.do("join", name)
    worker.do("write_file", name, {"path": "<b onclick=alert(4)>.txt", "content": markup})
    worker.do("read_file", name, {"path": "<b onclick=alert(4)>.txt"})
    page = person.opens(address(server, "&key=file:<b onclick=alert(4)>.txt"))
    expect(section(page, "Its value")).to_contain_text(mark)
    section(page, "Its value").get_by_role("link").first.click()
    expect(chosen(page)).to_contain_text(f"{name}.1 write_file")
    expect(section(page, "Arguments")).to_contain_text("</script><script>alert(2)</script>")
    panel(page).get_by_role("link", name=name, exact=True).first.click()
    expect(chosen(page)).to_have_text(name)
    page.get_by_role("tab", name="State").click()
    expect(page.get_by_role("grid", name="Objects")).to_contain_text("file:<b onclick=alert(4)>.txt")
    page.keyboard.press("t")
    expect(page.get_by_role("grid", name="All steps")).to_contain_text(f"{name}.1")
    for tag in ("img", "iframe", "b[onclick]"):
        expect(page.locator(tag)).to_have_count(0)
    assert person.strange == []


@pytest.fixture
def export(worker: Worker, tmp_path: Path) -> Path:
    file = tmp_path / "run.html"
    worker.said("ui", f"sqlite:{worker.log}", "--export", str(file))
    return file


@pytest.mark.parametrize("kind", ["served", "exported"])
def test_a_policy_stops_what_would_get_into_the_page_all_the_same(
    person: Person, server: Served, export: Path, kind: str
) -> None:
    page = person.opens(address(server) if kind == "served" else export)
    if kind == "exported":  # others are at work still
        expect(page.locator(".pill")).to_have_text("at work when exported")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        page.evaluate(
            """(elsewhere) => {
                document.body.insertAdjacentHTML("beforeend",
                    `<img src="${elsewhere}"><i onclick="window.ran = 1" id="inline"></i>`);
                document.getElementById("inline").click();
                const script = document.createElement("script");
                script.textContent = "window.ran = 2";
                document.body.append(script);
                return fetch(elsewhere).catch(() => null);
            }""",
            f"http://127.0.0.1:{elsewhere.getsockname()[1]}/",
        )
        assert page.evaluate("() => window.ran") is None
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert len([one for one in person.strange if "violates" in one]) >= 4
    person.strange.clear()


def test_what_others_wrote_runs_nothing_in_an_exported_page(
    person: Person, worker: Worker, tmp_path: Path
) -> None:
    markup = "</script><script>alert(1)</script><img src=http://elsewhere.example/x onerror=alert(2)>"
    worker.do("join", "exporting")
    worker.do("write_file", "exporting", {"path": "markup.html", "content": markup})
    file = tmp_path / "markup.html"
    worker.said("ui", f"sqlite:{worker.log}", "--export", str(file))
    page = person.opens(file)
    person.goes(page, file, "#key=file:markup.html")
    expect(section(page, "Its value")).to_contain_text(markup)
    expect(page.locator("img")).to_have_count(0)
    assert person.strange == []


def test_whoever_has_no_token_or_another_one_is_told_what_to_do(
    person: Person, worker: Worker, server: Served
) -> None:
    page = person.opens(f"{server.url}#token=guessed")
    expect(page.get_by_text("The token is wrong, or the server was started anew.")).to_be_visible()
    page = person.opens(f"{server.url}#key=file:early.txt")
    expect(page.get_by_text("This address has no token")).to_be_visible()
    expect(page.get_by_text("in the terminal where it runs, after #token=")).to_be_visible()
    field = page.get_by_label("The address that `coagent ui` printed")
    field.fill("http://127.0.0.1/#token=guessed")
    field.press("Enter")
    expect(page.get_by_text("The token is wrong, or the server was started anew.")).to_be_visible()
    field.fill(f"{server.url}#token={server.token}")
    field.press("Enter")
    expect(chosen(page)).to_have_text("file:early.txt")


def test_a_link_is_copied_without_the_token_and_with_it_where_that_is_asked_for(
    person: Person, server: Served
) -> None:
    person.may("clipboard-read", "clipboard-write")
    page = person.opens(address(server, "&key=file:early.txt"))
    copied = "() => navigator.clipboard.readText()"
    page.get_by_role("button", name="link", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("copied")
    assert page.evaluate(copied) == f"{server.url}#key=file:early.txt"
    dialog.get_by_role("button", name="Copy it with the token").click()
    expect(dialog).to_contain_text("copied with the token")
    with_token = page.evaluate(copied)
    assert server.token in with_token
    other = person.opens(with_token)
    expect(chosen(other)).to_have_text("file:early.txt")
    assert server.token not in other.url


def test_where_the_server_does_not_answer_at_first_the_page_tries_again_by_itself(
    person: Person, server: Served
) -> None:
    left = [1, 1]

    def broken(route: Route) -> None:
        which = 0 if route.request.url.endswith("stories") else 1
        left[which] -= 1
        if left[which] < 0:
            route.continue_()
        else:
            route.abort()

    page = person.tab()
    page.route("**/api/stories", broken)
    page.route("**/api/0/steps?*", broken)
    person.goes(page, address(server))
    expect(page.get_by_text(re.compile(r"does not answer.*Trying again in \d+ s"))).to_be_visible()
    expect(page.locator(".pill")).to_have_text("live")
    shows(page, "early.1")
    assert max(left) < 0


def test_when_the_server_is_reached_again_the_page_has_what_it_missed(
    person: Person, worker: Worker, server: Served
) -> None:
    worker.do("join", "away")
    with gate_to(int(server.url.rstrip("/").rpartition(":")[2])) as gate:
        page = person.opens(f"http://127.0.0.1:{gate.port}/#token={server.token}")
        expect(page.locator(".pill")).to_have_text("live")
        gate.close()
        expect(page.locator(".pill")).to_have_text("reconnecting")
        expect(page.locator(".banner")).to_contain_text("Trying again in")
        worker.do("write_file", "away", {"path": "away.txt", "content": "x\n"})
        gate.open()
        shows(page, "away.1")
        expect(page.locator(".pill")).to_have_text("live")
        expect(page.locator(".banner")).to_have_count(0)


def test_a_page_that_was_put_to_sleep_catches_up(person: Person, worker: Worker, server: Served) -> None:
    worker.do("join", "sleeper")
    page = person.opens(address(server))
    shows(page, "sleeper")
    browser = page.context.new_cdp_session(page)
    browser.send("Page.setWebLifecycleState", {"state": "frozen"})
    worker.do("write_file", "sleeper", {"path": "sleeper.txt", "content": "x\n"})
    server.live_until("call", id="sleeper.1")
    browser.send("Page.setWebLifecycleState", {"state": "active"})
    shows(page, "sleeper.1")


@pytest.mark.long
def test_when_the_server_was_started_anew_its_new_address_opens_in_the_same_tab(
    person: Person, worker: Worker
) -> None:
    with served(cwd=worker.folder) as before:
        page = person.opens(address(before, "&key=file:early.txt"))
        expect(page.locator(".pill")).to_have_text("live")
        port = before.url.rstrip("/").rpartition(":")[2]
    expect(page.locator(".pill")).to_have_text("reconnecting")
    with served("--port", port, cwd=worker.folder) as after:
        expect(page.locator(".pill")).to_have_text("not allowed")
        expect(page.locator(".banner")).to_contain_text("started anew")
        page.evaluate("(token) => { location.hash = `${location.hash}&token=${token}`; }", after.token)
        expect(page.locator(".pill")).to_have_text("live")
        expect(chosen(page)).to_have_text("file:early.txt")
