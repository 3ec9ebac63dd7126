"""Real kubectl does not notice that it talks to an emulator."""

from __future__ import annotations

import json

import yaml
from emulated import Clock, Kubectl, config_map, deployment, service

from kube_emulator import Emulator


def applied(kubectl: Kubectl, *manifests: object, flags: tuple[str, ...] = ()) -> str:
    return kubectl("apply", *flags, "-f", "-", stdin=yaml.safe_dump_all(manifests))


def test_versions_and_kinds_are_discovered(kubectl: Kubectl) -> None:
    assert "Server Version: v1.32" in kubectl("version")
    assert "is running at" in kubectl("cluster-info")
    kinds = kubectl("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", "ingresses.networking.k8s.io", "cronjobs.batch"} <= set(kinds)


def test_an_applied_manifest_runs_and_is_unchanged_when_applied_again(kubectl: Kubectl) -> None:
    assert applied(kubectl, deployment(), service()) == "deployment.apps/web created\nservice/web created\n"
    assert (
        applied(kubectl, deployment(), service()) == "deployment.apps/web unchanged\nservice/web unchanged\n"
    )
    changed = deployment(image="nginx:1.26", replicas=3)
    assert applied(kubectl, changed) == "deployment.apps/web configured\n"
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=10s")
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}") == "3"


def test_tables_have_the_columns_people_know(kubectl: Kubectl, clock: Clock) -> None:
    applied(kubectl, deployment(), service(), config_map(a="1"))
    clock.advance(300)
    lines = kubectl("get", "deployments").splitlines()
    assert lines[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert lines[1].split() == ["web", "2/2", "2", "2", "5m"]
    assert kubectl("get", "configmap", "settings").splitlines()[1].split() == ["settings", "1", "5m"]
    assert "NODE" in kubectl("get", "pods", "-o", "wide").splitlines()[0]
    everywhere = kubectl("get", "deploy,svc,pods,nodes", "-A")
    assert "deployment.apps/web" in everywhere
    assert "service/kubernetes" in everywhere
    assert everywhere.count("Running") == 2


def test_the_create_commands_that_send_protobuf_work(kubectl: Kubectl, emulator: Emulator) -> None:
    kubectl("create", "deployment", "api", "--image=api:1", "--replicas=2", "--port=8080")
    kubectl("create", "configmap", "settings", "--from-literal=a=1")
    kubectl("create", "secret", "generic", "key", "--from-literal=p=x")
    kubectl("create", "namespace", "other")
    kubectl("create", "job", "once", "--image=busybox")
    kubectl("create", "ingress", "door", "--rule=example.com/*=api:80")
    kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    made = emulator.snapshot()
    assert made["default/deployments/api"]["spec"]["replicas"] == 2
    assert made["default/configmaps/settings"]["data"] == {"a": "1"}
    assert made["default/secrets/key"]["data"] == {"p": "eA=="}
    assert made["default/roles/reader"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    ]
    path = made["default/ingresses/door"]["spec"]["rules"][0]["http"]["paths"][0]
    assert path["backend"]["service"] == {"name": "api", "port": {"number": 80}}
    kubectl("wait", "--for=condition=complete", "job/once", "--timeout=10s")


def test_every_form_of_patch_is_taken(kubectl: Kubectl) -> None:
    applied(kubectl, deployment())
    container = {"name": "web", "env": [{"name": "A", "value": "1"}]}
    strategic = {"spec": {"template": {"spec": {"containers": [container]}}}}
    kubectl("patch", "deployment", "web", "-p", json.dumps(strategic))
    kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"replicas":4}}')
    added = [{"op": "add", "path": "/metadata/labels/tier", "value": "front"}]
    kubectl("patch", "deployment", "web", "--type=json", "-p", json.dumps(added))
    got = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    held = got["spec"]["template"]["spec"]["containers"][0]
    assert (held["image"], held["env"]) == ("nginx:1.25", [{"name": "A", "value": "1"}])
    assert got["spec"]["replicas"] == 4
    assert got["metadata"]["labels"] == {"app": "web", "tier": "front"}


def test_changing_commands_change_what_they_name(kubectl: Kubectl) -> None:
    applied(kubectl, deployment())
    kubectl("set", "image", "deployment/web", "web=nginx:1.27")
    kubectl("scale", "deployment/web", "--replicas=3")
    kubectl("label", "deployment", "web", "tier=front")
    kubectl("annotate", "deployment", "web", "note=hello")
    kubectl("set", "env", "deployment/web", "MODE=fast")
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    kubectl("rollout", "restart", "deployment/web")
    got = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    assert got["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.27"
    assert got["status"]["availableReplicas"] == 3
    assert got["metadata"]["annotations"]["note"] == "hello"
    assert "restartedAt" in str(got["spec"]["template"]["metadata"]["annotations"])
    assert "3" in kubectl("rollout", "history", "deployment/web")
    kubectl("rollout", "undo", "deployment/web", "--to-revision=1")
    assert kubectl("get", "pods", "-o", "jsonpath={.items[0].spec.containers[0].image}") == "nginx:1.25"


def test_selectors_choose(kubectl: Kubectl) -> None:
    for name, tier in (("one", "front"), ("two", "back"), ("three", "")):
        kubectl("create", "deployment", name, "--image=x:1")
        if tier:
            kubectl("label", "deployment", name, f"tier={tier}")

    def names(*arguments: str) -> list[str]:
        return kubectl("get", "deployments", "-o", "name", *arguments).replace("deployment.apps/", "").split()

    assert names("-l", "tier=front") == ["one"]
    assert names("-l", "tier!=front") == ["three", "two"]
    assert names("-l", "tier in (front,back)") == ["one", "two"]
    assert names("-l", "tier notin (front)") == ["three", "two"]
    assert names("-l", "!tier") == ["three"]
    assert names("-l", "tier,tier!=back") == ["one"]
    assert names("--field-selector", "metadata.name=two") == ["two"]


def test_an_image_that_does_not_exist_keeps_the_old_pods_up(kubectl: Kubectl) -> None:
    applied(kubectl, deployment())
    kubectl("set", "image", "deployment/web", "web=nginx:1.26-broken")
    pods = kubectl("get", "pods")
    assert (pods.count("Running"), pods.count("ImagePullBackOff")) == (2, 1)
    status = kubectl("rollout", "status", "deployment/web", "--timeout=1s", fails=True)
    assert "timed out" in status
    name = next(line.split()[0] for line in pods.splitlines() if "BackOff" in line)
    assert "failing to pull image" in kubectl("logs", name, fails=True)


def test_mistakes_are_answered_as_by_a_real_server(kubectl: Kubectl) -> None:
    applied(kubectl, deployment())
    assert 'deployments.apps "no" not found' in kubectl("get", "deployment", "no", fails=True)
    assert 'namespaces "no" not found' in kubectl("create", "configmap", "c", "-n", "no", fails=True)
    again = kubectl("create", "deployment", "web", "--image=x", fails=True)
    assert 'deployments.apps "web" already exists' in again
    named = kubectl("create", "configmap", "Bad_Name", fails=True)
    assert "a lowercase RFC 1123 subdomain" in named
    selector = '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}'
    assert "field is immutable" in kubectl("patch", "deployment", "web", "-p", selector, fails=True)
    unknown = deployment("bad")
    unknown["spec"]["replicass"] = 3
    refused = kubectl("create", "-f", "-", stdin=json.dumps(unknown), fails=True)
    assert 'strict decoding error: unknown field "spec.replicass"' in refused


def test_server_side_apply_protects_the_fields_of_others(kubectl: Kubectl, emulator: Emulator) -> None:
    flags = ("--server-side",)
    applied(kubectl, deployment(), flags=flags)
    kubectl("scale", "deployment/web", "--replicas=5")
    text = yaml.safe_dump(deployment(image="nginx:1.26"))
    refused = kubectl("apply", "--server-side", "-f", "-", stdin=text, fails=True)
    assert ".spec.replicas" in refused
    applied(kubectl, deployment(image="nginx:1.26"), flags=("--server-side", "--force-conflicts"))
    assert emulator.snapshot()["default/deployments/web"]["spec"]["replicas"] == 2


def test_a_dry_run_and_a_difference_change_nothing(kubectl: Kubectl, emulator: Emulator) -> None:
    applied(kubectl, deployment())
    before = emulator.snapshot()
    changed = yaml.safe_dump(deployment(image="nginx:1.26"))
    assert "server dry run" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed)
    kubectl("diff", "-f", "-", stdin=changed, fails=True)
    kubectl("delete", "deployment", "web", "--dry-run=server")
    assert emulator.snapshot() == before


def test_a_definition_adds_its_kind(kubectl: Kubectl) -> None:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "boxes", "kind": "Box", "shortNames": ["bx"]},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
    applied(kubectl, definition)
    kubectl("wait", "--for=condition=established", "crd/boxes.example.com", "--timeout=10s")
    box = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {"size": 1}}
    assert applied(kubectl, box) == "box.example.com/b created\n"
    assert "b" in kubectl("get", "bx")
    box["spec"] = {"size": "large"}
    refused = kubectl("apply", "-f", "-", stdin=json.dumps(box), fails=True)
    assert "must be of type integer" in refused


def test_a_watch_tells_of_changes(kubectl: Kubectl, emulator: Emulator) -> None:
    kubectl("run", "solo", "--image=busybox:1")
    kubectl("wait", "--for=condition=Ready", "pod/solo", "--timeout=10s")
    kubectl("delete", "pod", "solo")
    kubectl("wait", "--for=delete", "pod/solo", "--timeout=10s")
    assert emulator.objects("pods") == []


def test_descriptions_and_explanations_are_printed(kubectl: Kubectl) -> None:
    applied(kubectl, deployment(), service())
    assert "MinimumReplicasAvailable" in kubectl("describe", "deployment", "web")
    assert "10.244." in kubectl("describe", "service", "web")
    assert "Node-Selectors" in kubectl("describe", "pods")
    assert "Number of desired pods" in kubectl("explain", "deployment.spec.replicas")
    assert kubectl("auth", "can-i", "create", "deployments") == "yes\n"


def test_a_node_is_drained(kubectl: Kubectl, emulator: Emulator) -> None:
    applied(kubectl, deployment(replicas=4))
    kubectl("drain", "node-1", "--force", "--ignore-daemonsets")
    assert {pod["spec"]["nodeName"] for pod in emulator.objects("pods")} == {"node-2"}
    assert "SchedulingDisabled" in kubectl("get", "nodes")


def test_a_wrong_token_is_refused(kubectl: Kubectl) -> None:
    assert "provide credentials" in kubectl("get", "pods", "--token=wrong", fails=True)
