"""A target says which system it is over, without asking it and without secrets."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from subjects import Subject

from coagent.targets import Kubernetes, Sql


def test_two_targets_over_one_system_have_one_identity(subject: Subject) -> None:
    async def main() -> None:
        other = subject.again()
        assert other.identity == subject.target.identity
        await other.close()

    anyio.run(main)


def test_other_systems_have_other_identities(subject: Subject) -> None:
    if subject.elsewhere is None:
        assert subject.target.identity == ""
        return
    elsewhere = subject.elsewhere()

    async def main() -> None:
        assert elsewhere.identity != subject.target.identity
        await elsewhere.close()

    anyio.run(main)


def test_an_identity_stays(subject: Subject) -> None:
    before = subject.target.identity

    async def main() -> None:
        await subject.target.put(subject.key, subject.first, expected=[None])
        assert subject.target.identity == before
        assert "\n" not in before

    anyio.run(main)


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("postgresql://ann:s3cret@Db.example:5433/shop", "postgresql://db.example:5433/shop?schema=public"),
        ("postgres://bob@db.example/shop", "postgresql://db.example/shop?schema=public"),
        (
            "postgresql://db.example/shop?sslmode=require&password=s3cret&user=ann",
            "postgresql://db.example/shop?schema=public",
        ),
        ("postgresql://ann:s3cret@h1:1,h2:2/shop", "postgresql://h1:1,h2:2/shop?schema=public"),
        ("postgresql://ann@/?host=/var/run", "postgresql://%2Fvar%2Frun/ann?schema=public"),
        ("postgresql:///shop?port=5433", "postgresql:///shop?port=5433&schema=public"),
    ],
)
def test_the_identity_of_a_database_is_not_who_connects(url: str, identity: str) -> None:
    assert Sql(url).identity == identity


def test_the_identity_of_a_cluster_is_its_address(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
        "clusters:\n- {name: c, cluster: {server: 'https://Api.example:6443/'}}\n"
        "users:\n- {name: u, user: {token: s3cret}}\n"
        "contexts:\n"
        "- {name: one, context: {cluster: c, user: u}}\n"
        "- {name: two, context: {cluster: c, user: u}}\n"
    )
    for context in ("one", "two"):
        assert Kubernetes(config, context=context).identity == "kubernetes:https://api.example:6443"
