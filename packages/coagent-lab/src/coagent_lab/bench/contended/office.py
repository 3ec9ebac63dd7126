"""The office workloads' tools: calendar, mail, board, CRM, analytics and directory.

Written afresh from the description of WorkBench's tools (Styles et al. 2024), with their search limits, and
with two defects repaired: a mail is always appended under a new id, and its date is text like the others.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from coagent.protocol.values import Value
from coagent.tools.native import NativeTool, tool
from coagent.tools.state import State
from coagent_lab.bench.contended.office_records import CRM_TOOLS, CUSTOMERS, TASK_TOOLS, TASKS
from coagent_lab.bench.contended.tables import ORDER, Row, Table, differences, read_csv

SEARCH_MAX = 5
EVENTS = Table("calendar_events", "event_id")
EMAILS = Table("emails", "email_id")
ADDRESSES = "sql:email_addresses/all"
ANALYTICS = "sql:analytics_data/all"
CLOCK = "sql:clock/now"
TABLES = [EVENTS, EMAILS, TASKS, CUSTOMERS]


def initial(folder: Path, now: str = "2023-11-30 00:00:00") -> dict[str, Value]:
    """Return the objects of an office: the CSV files of a data folder, and the clock of the scenario."""
    objects: dict[str, Value] = {CLOCK: {"id": "now", "now": now}}
    for table in TABLES:
        objects.update(read_csv(folder / f"{table.name}.csv", table.name, table.id_column))
    addresses = (folder / "email_addresses.csv").read_text().split()
    objects[ADDRESSES] = {"id": "all", "addresses": json.dumps(addresses)}
    with (folder / "analytics_data.csv").open(newline="", encoding="utf-8") as lines:
        objects[ANALYTICS] = {"id": "all", "visits": json.dumps([dict(row) for row in csv.DictReader(lines)])}
    return objects


def final(snapshot: dict[str, Value], initial: dict[str, Value]) -> Value:
    """Return the final state in the workload's form: what differs from the initial one."""
    return differences(initial, snapshot, TABLES)


# ---- calendar ----------------------------------------------------------------------------------------------


@tool(name="calendar.search_events")
async def search_events(
    state: State, query: str = "", time_min: str | None = None, time_max: str | None = None
) -> list[Row] | str:
    """Events by name or participant and start time; at most 5, in table order."""
    bounds = [("event_start", ">=", time_min), ("event_start", "<=", time_max)]
    found = await EVENTS.search(state, {}, bounds)
    wanted = query.lower()
    matching = [
        row
        for row in found
        if wanted in row["event_name"].lower() or wanted in row["participant_email"].lower()
    ]
    return matching[:SEARCH_MAX] or "No events found."


@tool(name="calendar.get_event_information_by_id")
async def event_information(state: State, event_id: str | None = None, field: str | None = None) -> Any:
    """One field of an event."""
    return await _information(state, EVENTS, "Event", event_id, field)


@tool(name="calendar.create_event")
async def create_event(
    state: State,
    event_name: str | None = None,
    participant_email: str | None = None,
    event_start: str | None = None,
    duration: str | None = None,
) -> str:
    """Create an event; returns its id."""
    if not event_name or not participant_email or not event_start or not duration:
        missing = {
            "Event name": event_name,
            "Participant email": participant_email,
            "Event start": event_start,
            "Event duration": duration,
        }
        return f"{next(name for name, value in missing.items() if not value)} not provided."
    cells = {
        "event_name": event_name,
        "participant_email": participant_email.lower(),
        "event_start": event_start,
        "duration": duration,
    }
    return await EVENTS.insert(state, cells)


@tool(name="calendar.delete_event")
async def delete_event(state: State, event_id: str | None = None) -> str:
    """Delete an event."""
    return await _deleted(state, EVENTS, "Event", event_id)


@tool(name="calendar.update_event")
async def update_event(
    state: State, event_id: str | None = None, field: str | None = None, new_value: str | None = None
) -> str:
    """Set one field of an event."""
    if not event_id or not field or not new_value:
        return "Event ID, field, or new value not provided."
    value = new_value.lower() if field == "participant_email" else new_value
    done = await EVENTS.update(state, event_id, field, value)
    return "Event updated successfully." if done else "Event not found."


# ---- mail --------------------------------------------------------------------------------------------------


@tool(name="email.search_emails")
async def search_emails(
    state: State, query: str = "", date_min: str | None = None, date_max: str | None = None
) -> list[Row] | str:
    """Mails in which every word of the query occurs; at most 5, newest first."""
    words = query.lower().split()
    found = []
    for row in await EMAILS.search(state, {}, []):
        text = f"{row['subject']} {row['body']} {row['sender/recipient']}".lower()
        day = row["sent_datetime"][:10]
        if (
            all(word in text for word in words)
            and (date_min is None or day >= date_min[:10])
            and (date_max is None or day <= date_max[:10])
        ):
            found.append(row)
    found.sort(key=lambda row: row["sent_datetime"], reverse=True)
    return found[:SEARCH_MAX] or "No emails found."


@tool(name="email.get_email_information_by_id")
async def email_information(state: State, email_id: str | None = None, field: str | None = None) -> Any:
    """One field of a mail."""
    return await _information(state, EMAILS, "Email", email_id, field)


async def _send(state: State, recipient: str, subject: str, body: str) -> None:
    cells = {
        "inbox/outbox": "outbox",
        "sender/recipient": recipient.lower(),
        "subject": subject,
        "sent_datetime": (await state.get(CLOCK))["now"],
        "body": body,
    }
    await EMAILS.insert(state, cells)


@tool(name="email.send_email")
async def send_email(
    state: State, recipient: str | None = None, subject: str | None = None, body: str | None = None
) -> str:
    """Send a mail."""
    if not recipient or not subject or not body:
        return "Recipient, subject, or body not provided."
    if "@" not in recipient or "." not in recipient:
        return "Invalid recipient email address."
    await _send(state, recipient, subject, body)
    return "Email sent successfully."


@tool(name="email.forward_email")
async def forward_email(state: State, email_id: str | None = None, recipient: str | None = None) -> str:
    """Forward a mail."""
    if not email_id or not recipient:
        return "Email ID or recipient not provided."
    if "@" not in recipient or "." not in recipient:
        return "Invalid recipient email address."
    mail = await EMAILS.row(state, email_id)
    if mail is None:
        return "Email not found."
    await _send(state, recipient, f"FW: {mail['subject']}", mail["body"])
    return "Email forwarded successfully."


@tool(name="email.reply_email")
async def reply_email(state: State, email_id: str | None = None, body: str | None = None) -> str:
    """Reply to a mail."""
    if not email_id or not body:
        return "Email ID or body not provided."
    mail = await EMAILS.row(state, email_id)
    if mail is None:
        return "Email not found."
    await _send(state, mail["sender/recipient"], mail["subject"], body)
    return "Email replied successfully."


@tool(name="email.delete_email")
async def delete_email(state: State, email_id: str | None = None) -> str:
    """Delete a mail."""
    return await _deleted(state, EMAILS, "Email", email_id)


# ---- directory and analytics -------------------------------------------------------------------------------


@tool(name="company_directory.find_email_address")
async def find_email_address(state: State, name: str = "") -> list[str] | str:
    """Addresses that contain a name."""
    if name == "":
        return "Name not provided."
    addresses = json.loads((await state.get(ADDRESSES))["addresses"])
    return [address for address in addresses if name.lower() in address.lower()]


async def _by_day(state: State, time_min: str | None, time_max: str | None) -> dict[str, list[Row]]:
    days: dict[str, list[Row]] = {}
    for visit in json.loads((await state.get(ANALYTICS))["visits"]):
        day = visit["date_of_visit"]
        if (time_min is None or day >= time_min[:10]) and (time_max is None or day <= time_max[:10]):
            days.setdefault(day, []).append(visit)
    return dict(sorted(days.items()))


@tool(name="analytics.total_visits_count")
async def total_visits_count(
    state: State, time_min: str | None = None, time_max: str | None = None
) -> dict[str, int]:
    """Visits a day."""
    return {day: len(visits) for day, visits in (await _by_day(state, time_min, time_max)).items()}


@tool(name="analytics.engaged_users_count")
async def engaged_users_count(
    state: State, time_min: str | None = None, time_max: str | None = None
) -> dict[str, int]:
    """Engaged visitors a day."""
    days = await _by_day(state, time_min, time_max)
    return {day: sum(visit["user_engaged"] == "True" for visit in visits) for day, visits in days.items()}


@tool(name="analytics.traffic_source_count")
async def traffic_source_count(
    state: State, time_min: str | None = None, time_max: str | None = None, traffic_source: str | None = None
) -> dict[str, int]:
    """Visits a day from a source."""
    days = await _by_day(state, time_min, time_max)
    return {
        day: sum(traffic_source is None or visit["traffic_source"] == traffic_source for visit in visits)
        for day, visits in days.items()
    }


@tool(name="analytics.get_average_session_duration")
async def average_session_duration(
    state: State, time_min: str | None = None, time_max: str | None = None
) -> dict[str, float]:
    """Mean seconds of a session a day."""
    days = await _by_day(state, time_min, time_max)
    return {
        day: sum(float(visit["session_duration_seconds"]) for visit in visits) / len(visits)
        for day, visits in days.items()
    }


@tool(name="analytics.get_visitor_information_by_id")
async def visitor_information(state: State, visitor_id: str | None = None) -> list[Row] | str:
    """All visits of a visitor."""
    if not visitor_id:
        return "Visitor ID not provided."
    visits = json.loads((await state.get(ANALYTICS))["visits"])
    return [visit for visit in visits if visit["visitor_id"] == visitor_id] or "Visitor not found."


@tool(name="analytics.create_plot")
async def create_plot(
    state: State,
    time_min: str | None = None,
    time_max: str | None = None,
    value_to_plot: str | None = None,
    plot_type: str | None = None,
) -> str:
    """Plot a metric; returns the path of the picture."""
    if not time_min or not time_max or not value_to_plot or not plot_type:
        return "Start date, end date, value to plot, or plot type not provided."
    return f"plots/{time_min}_{time_max}_{value_to_plot}_{plot_type}.png"


# ---- parts -------------------------------------------------------------------------------------------------


async def _information(state: State, table: Table, noun: str, row_id: str | None, field: str | None) -> Any:
    if not row_id:
        return f"{noun} ID not provided."
    if not field:
        return "Field not provided."
    row = await table.row(state, row_id)
    if row is None:
        return f"{noun} not found."
    return {field: row[field]} if field in row and field != ORDER else "Field not found."


async def _deleted(state: State, table: Table, noun: str, row_id: str | None) -> str:
    if not row_id:
        return f"{noun} ID not provided."
    return f"{noun} deleted successfully." if await table.delete(state, row_id) else f"{noun} not found."


TOOLS: tuple[NativeTool, ...] = (
    search_events,
    event_information,
    create_event,
    delete_event,
    update_event,
    search_emails,
    email_information,
    send_email,
    forward_email,
    reply_email,
    delete_email,
    find_email_address,
    total_visits_count,
    engaged_users_count,
    traffic_source_count,
    average_session_duration,
    visitor_information,
    create_plot,
    *TASK_TOOLS,
    *CRM_TOOLS,
)
