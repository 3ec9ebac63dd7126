"""``python -m kube_emulator``: runs an emulator until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

from kube_emulator import ApiError, Emulator, Webhook

Json = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Starts the emulator, prints where it is, and waits for SIGINT or SIGTERM.

    Args:
        arguments: the command line; that of the process by default.

    Returns:
        The exit code: 0 after a signal, 1 if a manifest is refused or the port is taken.
    """
    parser = argparse.ArgumentParser(prog="python -m kube_emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the port to listen on; 0 for a free one")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="where to write the kubeconfig")
    parser.add_argument(
        "-f", "--filename", type=Path, action="append", default=[], help="manifests to start with"
    )
    parser.add_argument(
        "--image", action="append", help="an image that exists; all but *-broken if never given"
    )
    parser.add_argument(
        "--node", action="append", help="the name of a node; node-1 and node-2 if never given"
    )
    parser.add_argument("--seed", type=int, default=0, help="what uids and the token are drawn from")
    unkind = parser.add_argument_group("to be as unkind as a cluster")
    unkind.add_argument(
        "--grace", type=float, default=0.0, help="seconds that deleted pods and namespaces still terminate"
    )
    unkind.add_argument("--webhook", type=Path, help="rules (YAML) that refuse or change objects")
    unkind.add_argument(
        "--history", type=int, default=10_000, help="changes that watches and pages may look back; else 410"
    )
    unkind.add_argument("--throttle", type=int, default=0, help="answer 429 to every so many requests")
    unkind.add_argument("--retry-after", type=int, default=1, help="seconds that a 429 tells to wait")
    unkind.add_argument("--conflict", type=int, default=0, help="answer 409 to every so many updates")
    chosen = parser.parse_args(arguments)
    try:
        initial = [document for path in chosen.filename for document in read_manifests(path)]
        nodes = chosen.node or ["node-1", "node-2"]
        rules = [Webhook.read(one) for one in read_manifests(chosen.webhook)] if chosen.webhook else []
        emulator = Emulator(
            chosen.port,
            initial,
            chosen.image,
            nodes=nodes,
            seed=chosen.seed,
            history=chosen.history,
            grace_s=chosen.grace,
            webhooks=rules,
        )
        emulator.faults.throttle_every, emulator.faults.conflict_every = chosen.throttle, chosen.conflict
        emulator.faults.retry_after_s = chosen.retry_after
        emulator.start()
    except (ApiError, ValueError, OSError, yaml.YAMLError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    path = emulator.write_kubeconfig(chosen.kubeconfig)
    print(f"{emulator.url}\n{path}", flush=True)
    stop.wait()
    emulator.stop()
    return 0


def read_manifests(path: Path) -> list[Json]:
    """The documents of a YAML or JSON file, empty ones left out."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


if __name__ == "__main__":
    sys.exit(main())
