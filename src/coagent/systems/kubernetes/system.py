"""How a cluster is configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from coagent.systems.base import Given, Place, System, Table, TargetKind, Tools
from coagent.targets.base import Target
from coagent.targets.folders import may_be_file


class KubernetesTarget(Table):
    """A cluster, as a kubeconfig names it."""

    kind: Literal["kubernetes"]
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


def _target(table: KubernetesTarget, place: Place) -> Target:
    from coagent.systems.kubernetes.target import Kubernetes

    options = table.model_dump(exclude={"kind"}, exclude_none=True)
    if "kubeconfig" in options:
        config = place.folder / Path(options["kubeconfig"]).expanduser()
        if not may_be_file(config):
            raise place.fault(f"there is no kubeconfig {str(config)!r}", "Correct `kubeconfig`.")
        options["kubeconfig"] = str(config)
    return Kubernetes(**options)


def _tools(_given: Given) -> list[Any]:
    from coagent.systems.kubernetes.tools import KUBERNETES_TOOLS

    return [KUBERNETES_TOOLS]


KUBERNETES = System(
    "kubernetes", TargetKind(KubernetesTarget, _target), Tools(_tools), needs="coagent-mtpo[kubernetes]"
)
