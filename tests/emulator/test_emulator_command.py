"""``python -m kube_emulator`` serves until it is told to stop."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from emulated import config_map, deployment

from kube_emulator import Emulator
from kube_emulator.__main__ import main


def test_it_serves_its_manifests_until_it_is_told_to_stop(tmp_path: Path) -> None:
    manifests, config = tmp_path / "all.yaml", tmp_path / "kubeconfig"
    manifests.write_text(yaml.safe_dump_all([deployment(), config_map(a="1")]))
    command = [sys.executable, "-m", "kube_emulator", "--kubeconfig", str(config), "-f", str(manifests)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, path = process.stdout.readline().strip(), process.stdout.readline().strip()
        written = yaml.safe_load(Path(path).read_text())
        assert written["clusters"][0]["cluster"]["server"] == url
        assert config.stat().st_mode & 0o077 == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_a_refused_manifest_is_told_and_nothing_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "bad.yaml"
    manifest.write_text(yaml.safe_dump(config_map("Bad_Name")))
    assert main(["--kubeconfig", str(tmp_path / "kubeconfig"), "-f", str(manifest)]) == 1
    assert "cannot start" in capsys.readouterr().err


def test_it_can_be_started_again_and_kept_its_objects() -> None:
    emulator = Emulator(initial=[config_map(a="1")])
    for _ in range(2):
        with emulator:
            trusted = ssl.create_default_context(cadata=emulator.certificate)
            headers = {"Authorization": f"Bearer {emulator.token}"}
            answer = httpx.get(f"{emulator.url}/api/v1/configmaps", verify=trusted, headers=headers)
            assert "settings" in answer.text
