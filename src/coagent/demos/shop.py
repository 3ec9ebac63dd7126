"""The repository of the demo: a small shop, its tests, and what the second agent adds to it."""

from __future__ import annotations

from typing import Final

FILES: Final = {
    ".gitignore": "__pycache__/\n",
    "README.md": "# Shop\n\nA small shop. `python -m unittest` runs its tests.\n",
    "shop/__init__.py": '"""A small shop."""\n',
    "shop/pricing.py": '''\
"""What things cost."""

PRICES = {"tea": 4.0, "cup": 7.5, "pot": 32.0}
DISCOUNT_FROM = 100.0


def total_price(quantities):
    """Return what an order costs: 5 % off from 100 on."""
    total = sum(PRICES[name] * count for name, count in quantities.items())
    return round(total * 0.95 if total >= DISCOUNT_FROM else total, 2)
''',
    "shop/cart.py": '''\
"""The shopping cart."""

from shop.pricing import total_price


class Cart:
    """What a customer is about to buy."""

    def __init__(self):
        self.quantities = {}

    def add(self, name, count=1):
        self.quantities[name] = self.quantities.get(name, 0) + count

    def total(self):
        return total_price(self.quantities)
''',
    "shop/invoice.py": '''\
"""Invoices as text."""

from shop.pricing import PRICES, total_price


def invoice(quantities):
    lines = [f"{count} x {name} at {PRICES[name]:.2f}" for name, count in quantities.items()]
    return "\\n".join([*lines, f"total {total_price(quantities):.2f}"])
''',
    "tests/__init__.py": "",
    "tests/test_shop.py": """\
import unittest

from shop.cart import Cart
from shop.invoice import invoice
from shop.pricing import total_price


class ShopTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total_price({"tea": 2, "cup": 1}), 15.5)

    def test_discount(self):
        self.assertEqual(total_price({"pot": 4}), 121.6)

    def test_cart(self):
        cart = Cart()
        cart.add("tea")
        cart.add("tea")
        self.assertEqual(cart.total(), 8.0)

    def test_invoice(self):
        self.assertEqual(invoice({"cup": 2}), "2 x cup at 7.50\\ntotal 15.00")
""",
}
"""Path to content."""

REPORT: Final = '''\
"""The month's report."""

from shop.pricing import {function}


def report(orders):
    """Return customers and what they spent, those who spent most first."""
    spent = {{customer: {function}(quantities) for customer, quantities in orders.items()}}
    return sorted(spent.items(), key=lambda pair: -pair[1])
'''
"""The second agent's module; it calls the function that it finds in pricing.py."""

REPORT_TEST: Final = """\
import unittest

from shop.report import report


class ReportTest(unittest.TestCase):
    def test_report(self):
        orders = {"ann": {"tea": 1}, "bob": {"pot": 4}}
        self.assertEqual(report(orders), [("bob", 121.6), ("ann", 4.0)])
"""
"""Its test."""
