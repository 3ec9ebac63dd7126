"""Five office workloads: calendar, mail, customers, board, and one across several of them."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

from coagent_lab.bench.contended.office_data import TODAY, TOMORROW, office
from coagent_lab.bench.contended.scenario import Role, Scenario

Calls: TypeAlias = Generator[tuple[str, dict[str, Any]], Any, Any]
_FIND = "company_directory.find_email_address"
_SEARCH_EVENTS = "calendar.search_events"
_SEARCH_CUSTOMERS = "customer_relationship_manager.search_customers"
_UPDATE_CUSTOMER = "customer_relationship_manager.update_customer"
_SEARCH_TASKS = "project_management.search_tasks"
_UPDATE_TASK = "project_management.update_task"


def _events_of(day: str) -> Calls:
    """Read a day in quarters, because a search returns at most five events."""
    found: list[dict[str, Any]] = []
    for first, last in (("00", "09"), ("10", "11"), ("12", "14"), ("15", "23")):
        part = yield _SEARCH_EVENTS, {"time_min": f"{day} {first}:00:00", "time_max": f"{day} {last}:59:59"}
        found += part if isinstance(part, list) else []
    return found


def _first_free(events: list[dict[str, Any]], day: str) -> str:
    """Return the first free half hour from nine on."""
    taken = {event["event_start"][11:16] for event in events}
    slots = (f"{hour:02d}:{minute:02d}" for hour in range(9, 18) for minute in (0, 30))
    return f"{day} {next(slot for slot in slots if slot not in taken)}:00"


def _book(name: str, person: str) -> Calls:
    found = yield _FIND, {"name": person}
    events = yield from _events_of(str(TOMORROW))
    yield (
        "calendar.create_event",
        {
            "event_name": name,
            "participant_email": found[0],
            "event_start": _first_free(events, str(TOMORROW)),
            "duration": "30",
        },
    )


def _forward_latest(person: str, recipient: str) -> Calls:
    found = yield _FIND, {"name": person}
    to = yield _FIND, {"name": recipient}
    mails = yield "email.search_emails", {"query": found[0]}
    yield "email.forward_email", {"email_id": mails[0]["email_id"], "recipient": to[0]}


def _delete_latest(person: str) -> Calls:
    found = yield _FIND, {"name": person}
    mails = yield "email.search_emails", {"query": found[0]}
    yield "email.delete_email", {"email_id": mails[0]["email_id"]}


def _hand_over(source: str, target: str) -> Calls:
    """Reassign all software leads; a search shows at most five, so it is made again until none is left."""
    old = yield _FIND, {"name": source}
    new = yield _FIND, {"name": target}
    wanted = {"assigned_to_email": old[0], "status": "Lead", "product_interest": "Software"}
    found = yield _SEARCH_CUSTOMERS, wanted
    for customer in found:
        change = {"customer_id": customer["customer_id"], "field": "assigned_to_email", "new_value": new[0]}
        yield _UPDATE_CUSTOMER, change


def _most_urgent_to(person: str, target: str) -> Calls:
    old = yield _FIND, {"name": person}
    new = yield _FIND, {"name": target}
    tasks = yield _SEARCH_TASKS, {"assigned_to_email": old[0]}
    waiting = [task for task in tasks if task["list_name"] != "Completed"]
    urgent = min(waiting, key=lambda task: (task["due_date"], task["task_id"]))
    yield _UPDATE_TASK, {"task_id": urgent["task_id"], "field": "assigned_to_email", "new_value": new[0]}


def _overdue(tasks: list[dict[str, Any]], days: int = 0) -> list[dict[str, Any]]:
    limit = str(TODAY - timedelta(days=days))
    return [task for task in tasks if task["due_date"] < limit and task["list_name"] != "Completed"]


def _put_off(person: str) -> Calls:
    """Put off what is overdue for more than three days."""
    tasks = yield _SEARCH_TASKS, {"assigned_to_email": person}
    for task in _overdue(tasks, 3):
        change = {
            "task_id": task["task_id"],
            "field": "due_date",
            "new_value": str(TODAY + timedelta(days=7)),
        }
        yield _UPDATE_TASK, change
    yield from _book("New dates", person)


def _chase(person: str) -> Calls:
    """Tell somebody what is overdue, and book a meeting about it."""
    found = yield _FIND, {"name": person}
    tasks = yield _SEARCH_TASKS, {"assigned_to_email": person}
    names = ", ".join(task["task_name"] for task in _overdue(tasks)) or "none"
    yield (
        "email.send_email",
        {"recipient": found[0], "subject": "Overdue tasks", "body": f"Overdue: {names}."},
    )
    yield from _book("Overdue tasks", person)


def office_cases() -> list[Scenario]:
    """Return the five office workloads."""
    objects = office()
    book = "Book the first free half hour of tomorrow with {}."
    lead = "Reassign all of {}'s leads that are interested in software to {}."
    urgent = "Reassign {}'s most urgent task to {}."
    return [
        Scenario(
            "office-calendar",
            "Two bookers want the first free slot of tomorrow",
            objects,
            (
                Role("A", book.format("Greta"), partial(_book, "Catch up", "greta")),
                Role("B", book.format("Hiro"), partial(_book, "Planning", "hiro")),
            ),
        ),
        Scenario(
            "office-mail",
            "The latest mail of a sender is deleted while it is forwarded",
            objects,
            (
                Role("A", "Delete the latest mail from Farid.", partial(_delete_latest, "farid")),
                Role(
                    "B",
                    "Forward the latest mail from Farid to Ines.",
                    partial(_forward_latest, "farid", "ines"),
                ),
            ),
        ),
        Scenario(
            "office-customers",
            "Two people take over each other's leads",
            objects,
            (
                Role("A", lead.format("Bjorn", "Elif"), partial(_hand_over, "bjorn", "elif")),
                Role("B", lead.format("Elif", "Bjorn"), partial(_hand_over, "elif", "bjorn")),
            ),
        ),
        Scenario(
            "office-board",
            "The most urgent task of one person goes to two others",
            objects,
            (
                Role("A", urgent.format("Kavya", "Liam"), partial(_most_urgent_to, "kavya", "liam")),
                Role("B", urgent.format("Kavya", "Jonas"), partial(_most_urgent_to, "kavya", "jonas")),
            ),
        ),
        Scenario(
            "office-overdue",
            "Overdue tasks are put off while their owner is told about them and called to a meeting",
            objects,
            (
                Role(
                    "A",
                    "Put off what of Amara's tasks is overdue and book a meeting.",
                    partial(_put_off, "amara"),
                ),
                Role(
                    "B", "Tell Amara what is overdue and book a meeting about it.", partial(_chase, "amara")
                ),
            ),
        ),
    ]
