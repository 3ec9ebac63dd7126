"""The office workloads' tools for the project board and the customer records."""

from __future__ import annotations

from typing import Any

from coagent.tools.native import tool
from coagent.tools.state import State
from coagent_lab.bench.contended.tables import ORDER, Row, Table

CUSTOMERS_MAX = 5
TASKS = Table("project_tasks", "task_id")
CUSTOMERS = Table("customer_relationship_manager_data", "customer_id")
_NO_PARAMETERS = "No search parameters provided."


@tool(name="project_management.search_tasks")
async def search_tasks(
    state: State,
    task_name: str | None = None,
    assigned_to_email: str | None = None,
    list_name: str | None = None,
    due_date: str | None = None,
    board: str | None = None,
) -> list[Row] | str:
    """Tasks by parts of their fields."""
    contains = {
        "task_name": task_name,
        "assigned_to_email": assigned_to_email,
        "list_name": list_name,
        "due_date": due_date,
        "board": board,
    }
    if not any(contains.values()):
        return _NO_PARAMETERS
    return await TASKS.search(state, contains, [])


@tool(name="project_management.get_task_information_by_id")
async def task_information(state: State, task_id: str | None = None, field: str | None = None) -> Any:
    """One field of a task."""
    if not task_id:
        return "Task ID not provided."
    if not field:
        return "Field not provided."
    row = await TASKS.row(state, task_id)
    if row is None:
        return "Task not found."
    return {field: row[field]} if field in row and field != ORDER else "Field not found."


@tool(name="project_management.create_task")
async def create_task(
    state: State,
    task_name: str | None = None,
    assigned_to_email: str | None = None,
    list_name: str | None = None,
    due_date: str | None = None,
    board: str | None = None,
) -> str:
    """Create a task; returns its id."""
    if not task_name or not assigned_to_email or not list_name or not due_date or not board:
        return "Missing task details."
    cells = {
        "task_name": task_name,
        "assigned_to_email": assigned_to_email.lower(),
        "list_name": list_name,
        "due_date": due_date,
        "board": board,
    }
    return await TASKS.insert(state, cells)


@tool(name="project_management.update_task")
async def update_task(
    state: State, task_id: str | None = None, field: str | None = None, new_value: str | None = None
) -> str:
    """Set one field of a task."""
    if not task_id or not field or not new_value:
        return "Task ID, field, or new value not provided."
    value = new_value.lower() if field == "assigned_to_email" else new_value
    done = await TASKS.update(state, task_id, field, value)
    return "Task updated successfully." if done else "Task not found."


@tool(name="project_management.delete_task")
async def delete_task(state: State, task_id: str | None = None) -> str:
    """Delete a task."""
    if not task_id:
        return "Task ID not provided."
    return "Task deleted successfully." if await TASKS.delete(state, task_id) else "Task not found."


@tool(name="customer_relationship_manager.search_customers")
async def search_customers(
    state: State,
    customer_name: str | None = None,
    customer_email: str | None = None,
    product_interest: str | None = None,
    status: str | None = None,
    assigned_to_email: str | None = None,
    last_contact_date_min: str | None = None,
    last_contact_date_max: str | None = None,
    follow_up_by_min: str | None = None,
    follow_up_by_max: str | None = None,
) -> list[Row] | str:
    """Customers by parts of their fields and bounds of their dates; at most 5, in table order."""
    contains = {
        "customer_name": customer_name,
        "customer_email": customer_email,
        "product_interest": product_interest,
        "status": status,
        "assigned_to_email": assigned_to_email,
    }
    bounds = [
        ("last_contact_date", ">=", last_contact_date_min),
        ("last_contact_date", "<=", last_contact_date_max),
        ("follow_up_by", ">=", follow_up_by_min),
        ("follow_up_by", "<=", follow_up_by_max),
    ]
    if not any(contains.values()) and not any(bound for _, _, bound in bounds):
        return f"{_NO_PARAMETERS} Please provide at least one parameter."
    return (await CUSTOMERS.search(state, contains, bounds))[:CUSTOMERS_MAX]


@tool(name="customer_relationship_manager.update_customer")
async def update_customer(
    state: State, customer_id: str | None = None, field: str | None = None, new_value: str | None = None
) -> str:
    """Set one field of a customer."""
    if not customer_id or not field or not new_value:
        return "Customer ID, field, or new value not provided."
    value = new_value.lower() if field == "assigned_to_email" else new_value
    done = await CUSTOMERS.update(state, customer_id, field, value)
    return "Customer updated successfully." if done else "Customer not found."


@tool(name="customer_relationship_manager.add_customer")
async def add_customer(
    state: State,
    customer_name: str | None = None,
    assigned_to_email: str | None = None,
    status: str | None = None,
    customer_email: str | None = None,
    customer_phone: str | None = None,
    last_contact_date: str | None = None,
    product_interest: str | None = None,
    notes: str = "",
    follow_up_by: str | None = None,
) -> str:
    """Add a customer; returns its id."""
    if not customer_name or not assigned_to_email or not status:
        return "Please provide all required fields: customer_name, assigned_to_email, status."
    cells = {
        "assigned_to_email": assigned_to_email.lower(),
        "customer_name": customer_name,
        "customer_email": customer_email,
        "customer_phone": customer_phone,
        "last_contact_date": last_contact_date,
        "product_interest": product_interest,
        "status": status,
        "follow_up_by": follow_up_by,
        "notes": notes,
    }
    return await CUSTOMERS.insert(state, cells)


@tool(name="customer_relationship_manager.delete_customer")
async def delete_customer(state: State, customer_id: str | None = None) -> str:
    """Delete a customer."""
    if not customer_id:
        return "Customer ID not provided."
    done = await CUSTOMERS.delete(state, customer_id)
    return "Customer deleted successfully." if done else "Customer not found."


TASK_TOOLS = (search_tasks, task_information, create_task, update_task, delete_task)
CRM_TOOLS = (search_customers, update_customer, add_customer, delete_customer)
