"""Reads what is in deploy/ as the engines would: interpolated, merged, with drop-ins, rendered."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
CHART = DEPLOY / "helm" / "spresso-assets"
UNITS = DEPLOY / "systemd"
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


def program(name: str) -> str:
    """Where a validator is, on the PATH or in the virtual environment; skips the test without it."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"the program {name} is not installed; tests/deploy/tools.sh gets it")
    return found


def example_environment() -> dict[str, str]:
    """The variables of env.example."""
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(text: str, variables: dict[str, str]) -> str:
    """A compose file after its variables were put in; raises KeyError for one that must be set and is not."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1]) or (match[3] if match[2] == ":-" else variables[match[1]])

    return VARIABLE.sub(value, text)


def compose(*files: str, variables: dict[str, str] | None = None) -> dict[str, Any]:
    """Compose files, the later ones over the earlier ones (service by service, key by key)."""
    variables = example_environment() if variables is None else variables
    merged: dict[str, Any] = {}
    for file in files:
        document = yaml.safe_load(interpolated((DEPLOY / file).read_text(encoding="utf-8"), variables))
        for name, service in document.pop("services").items():
            merged.setdefault("services", {}).setdefault(name, {}).update(service)
        merged.update(document)
    return merged


def is_ours(service: dict[str, Any]) -> bool:
    """Whether a service runs our image."""
    return str(service["image"]).startswith("spresso-assets:")


def unit(name: str) -> dict[str, list[str]]:
    """Settings of a systemd unit, its drop-in after it, as `Section.Key` -> values."""
    found: dict[str, list[str]] = {}
    for file in (UNITS / name, *sorted((UNITS / "spresso-.service.d").glob("*.conf"))):
        section = ""
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                found.setdefault(f"{section}.{key}", []).append(value)
    return found


def services() -> list[str]:
    """Names of the service units."""
    return sorted(path.name for path in UNITS.glob("*.service"))


FULL = {
    "archive.existingClaim": "sounds",
    "gpuWorker.enabled": "true",
    "keda.enabled": "true",
    "metrics.serviceMonitor.enabled": "true",
    "backup.enabled": "true",
    "backup.existingClaim": "backup",
}
LEAN = {"archive.existingClaim": "sounds"}


def helm(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("helm"), *map(str, args)], capture_output=True, text=True, timeout=120)


def rendered(values: dict[str, str]) -> list[dict[str, Any]]:
    """The chart's documents with these values."""
    settings = [f"--set={key}={value}" for key, value in values.items()]
    done = helm("template", "demo", CHART, *settings)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def pod(document: dict[str, Any]) -> dict[str, Any] | None:
    """The pod template of a workload."""
    spec = document["spec"]
    spec = spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec
    return spec.get("template") if document["kind"] in ("Deployment", "Job", "CronJob") else None


def pods(values: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Component -> pod spec of every workload of the chart."""
    for document in rendered(values):
        template = pod(document)
        if template is not None:
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template["spec"]


def shell_words(value: str) -> list[str]:
    """Words of an ExecStart or a shell line."""
    return shlex.split(value)


def dashboard() -> dict[str, Any]:
    document = json.loads((DEPLOY / "dashboards" / "spresso.json").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]
