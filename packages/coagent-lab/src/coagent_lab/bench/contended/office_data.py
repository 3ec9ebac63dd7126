"""An office made up afresh: calendar, mail, board, customers and visits, the same for the same seed."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta

from coagent.protocol.values import Value
from coagent_lab.bench.contended.office import ADDRESSES, ANALYTICS, CLOCK, EMAILS, EVENTS
from coagent_lab.bench.contended.office_records import CUSTOMERS, TASKS
from coagent_lab.bench.contended.tables import ORDER, Row, Table

TODAY = date(2024, 5, 16)
TOMORROW = TODAY + timedelta(days=1)
PEOPLE = (
    "amara.okafor", "bjorn.lindqvist", "chiara.ricci", "daniel.mwangi", "elif.demir", "farid.haddad",
    "greta.novak", "hiro.tanaka", "ines.duarte", "jonas.weber", "kavya.menon", "liam.byrne",
)  # fmt: skip
_TOPICS = ("budget", "launch", "hiring", "roadmap", "audit", "onboarding", "pricing", "migration")
_VERBS = ("Fix", "Draft", "Test", "Ship")
_BOARDS = ("Backend", "Frontend", "Design")
_LISTS = ("Backlog", "In Progress", "In Review", "Completed")
_STATUSES = ("Lead", "Qualified", "Proposal", "Won", "Lost")
_PRODUCTS = ("Software", "Hardware", "Services", "Training")
_FIRST = ("Robin", "Alex", "Sam", "Kim", "Noa", "Jules", "Max", "Toni", "Ari", "Lou")
_LAST = ("Fischer", "Moreau", "Silva", "Kowalski", "Jensen", "Costa", "Peters", "Larsson")


def address(person: str) -> str:
    """Return a person's address."""
    return f"{person}@harbor.example"


def office(seed: int = 1) -> dict[str, Value]:
    """Return the objects of an office."""
    randomness = random.Random(f"office/{seed}")
    objects: dict[str, Value] = {
        CLOCK: {"id": "now", "now": f"{TODAY} 00:00:00"},
        ADDRESSES: {"id": "all", "addresses": json.dumps([address(person) for person in PEOPLE])},
        ANALYTICS: {"id": "all", "visits": json.dumps(_visits(randomness))},
    }
    objects |= _rows(EVENTS, _events(randomness))
    objects |= _rows(EMAILS, _emails(randomness))
    objects |= _rows(TASKS, _tasks(randomness))
    objects |= _rows(CUSTOMERS, _customers(randomness))
    return objects


def _rows(table: Table, rows: list[Row]) -> dict[str, Value]:
    return {
        f"{table.prefix}{number:08d}": {table.id_column: f"{number:08d}", **row, ORDER: number}
        for number, row in enumerate(rows)
    }


def _day(randomness: random.Random, before: int, after: int) -> str:
    return str(TODAY + timedelta(days=randomness.randint(-before, after)))


def _events(randomness: random.Random) -> list[Row]:
    rows = []
    for number in range(80):
        # The first few fill tomorrow morning, so that free slots are scarce.
        start = f"{TOMORROW} {9 + number // 2:02d}:{30 * (number % 2):02d}:00" if number < 5 else ""
        past = f"{_day(randomness, 60, -1)} {randomness.randint(9, 16):02d}:00:00"
        rows.append(
            {
                "event_name": f"{randomness.choice(_TOPICS)} review",
                "participant_email": address(randomness.choice(PEOPLE)),
                "event_start": start or past,
                "duration": "30",
            }
        )
    return rows


def _emails(randomness: random.Random) -> list[Row]:
    rows = []
    for number in range(90):
        topic, person = randomness.choice(_TOPICS), PEOPLE[number % len(PEOPLE)]
        sent = TODAY - timedelta(days=90 - number)
        rows.append(
            {
                "inbox/outbox": "inbox",
                "sender/recipient": address(person),
                "subject": f"Update on {topic}",
                "sent_datetime": f"{sent} {randomness.randint(8, 18):02d}:15:00",
                "body": f"The {topic} is on its way. Figures follow.",
            }
        )
    return rows


def _tasks(randomness: random.Random) -> list[Row]:
    return [
        {
            "task_name": f"{randomness.choice(_VERBS)} {randomness.choice(_TOPICS)} {number}",
            "assigned_to_email": address(PEOPLE[number % len(PEOPLE)]),
            "list_name": randomness.choice(_LISTS),
            "due_date": _day(randomness, 10, 20),
            "board": randomness.choice(_BOARDS),
        }
        for number in range(84)
    ]


def _customers(randomness: random.Random) -> list[Row]:
    rows = []
    for number in range(60):
        name = f"{_FIRST[number % len(_FIRST)]} {_LAST[number % len(_LAST)]}"
        rows.append(
            {
                "assigned_to_email": address(PEOPLE[number % len(PEOPLE)]),
                "customer_name": name,
                "customer_email": f"{name.replace(' ', '.').lower()}@client{number}.example",
                "customer_phone": None,
                "last_contact_date": _day(randomness, 40, 0),
                "product_interest": _PRODUCTS[(number // len(PEOPLE)) % 2],
                "status": _STATUSES[(number // 24) % 2],
                "follow_up_by": _day(randomness, 0, 30),
                "notes": "",
            }
        )
    randomness.shuffle(rows)
    return rows


def _visits(randomness: random.Random) -> list[Row]:
    return [
        {
            "date_of_visit": _day(randomness, 30, -1),
            "visitor_id": f"{number:04d}",
            "page_views": str(randomness.randint(1, 20)),
            "session_duration_seconds": str(randomness.randint(1, 60)),
            "traffic_source": randomness.choice(("direct", "search", "referral")),
            "user_engaged": str(randomness.random() < 0.5),
        }
        for number in range(200)
    ]
