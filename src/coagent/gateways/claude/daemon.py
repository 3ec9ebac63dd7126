"""The process that is the daemon of one workspace: there is one at a time, and it starts quickly.

`python -m coagent.gateways.claude.daemon ROOT`; the hook starts it, and waits. So nothing is imported here
that takes long: first it is seen whether one runs already, and whether views can be had (mostly waiting).
"""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import threading
from pathlib import Path

from coagent.errors import CoAgentError
from coagent.private import HOME, open_private, private_folder
from coagent.systems.shell.views.overlay import available


def main() -> None:
    """Run the daemon of the folder that the command line names, unless one runs already."""
    root = Path(sys.argv[1]).resolve()
    try:
        private_folder(root / HOME)
        descriptor = open_private(root / HOME / "daemon.lock")
    except CoAgentError as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(1)
    with os.fdopen(descriptor, "r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())  # for whoever has to end it
        lock.flush()
        threading.Thread(target=available).start()  # it keeps the answer
        gc.disable()  # until the domain is open: what is made till then is there to stay
        import anyio

        from coagent.gateways.claude.serving import serve

        try:
            anyio.run(serve, root)
        except CoAgentError as failure:
            print(f"error: {failure}", file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    main()
