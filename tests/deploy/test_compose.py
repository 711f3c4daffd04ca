"""The compose files: valid, closed, and with the archive read-only."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY, compose, example_environment, is_ours

ALL = compose("compose.yaml", "compose.gpu.yaml")
SERVICES = ALL["services"]
RUN_ONCE = {"migrate", "backup"}


def _accept(document: dict[str, Any]) -> None:
    """Hold a document against the Compose Specification; raises ValueError."""
    from compose_spec import PyCompose

    PyCompose.from_yaml(yaml.safe_dump(document))


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.gpu.yaml",), ("compose.yaml", "compose.gpu.yaml")])
def test_keeps_to_the_specification(files: tuple[str, ...]) -> None:
    _accept(compose(*files))


def test_a_typing_mistake_would_be_noticed() -> None:
    document = compose("compose.yaml")
    document["services"]["redis"]["read_onyl"] = True
    with pytest.raises(ValueError, match="read_onyl"):
        _accept(document)


def test_the_archive_must_be_named() -> None:
    with pytest.raises(KeyError):
        compose("compose.yaml", variables={})


def test_every_variable_has_a_default_or_an_example() -> None:
    compose("compose.yaml", "compose.gpu.yaml", variables={"ARCHIVE": "/srv/sounds"})
    assert "ARCHIVE" in example_environment()


@pytest.mark.parametrize("name", SERVICES)
def test_is_closed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and not service.get("cap_add") and not service.get("privileged")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("0", "root", "")
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["restart"] == ("no" if name in RUN_ONCE else "unless-stopped")
    assert service["logging"]["options"]["max-size"]
    assert not service.get("network_mode") and not service.get("pid")
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_databases_have_no_way_out() -> None:
    assert ALL["networks"]["inside"] == {"internal": True}
    for name, service in SERVICES.items():
        outside = "outside" in service["networks"]
        assert outside == bool(service.get("ports")), name


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if is_ours(service)])
def test_the_archive_is_read_only(name: str) -> None:
    archive = example_environment()["ARCHIVE"]
    for volume in SERVICES[name].get("volumes", []):
        if isinstance(volume, dict):
            assert (volume["source"], volume["target"], volume["read_only"]) == (archive, archive, True)
            assert volume["bind"]["create_host_path"] is False  # a wrong path must not become an empty archive
        else:
            assert archive not in volume and (volume.endswith(":ro") or name == "backup")
    if name.startswith(("watcher", "worker")):
        assert SERVICES[name]["volumes"]


def test_nothing_starts_before_the_tables_are_there() -> None:
    for name, service in SERVICES.items():
        if is_ours(service) and name not in RUN_ONCE:
            assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
    # What is backed up before an upgrade must not be upgraded by the backup.
    assert "migrate" not in SERVICES["backup"]["depends_on"]


def test_one_worker_holds_one_gpu() -> None:
    worker = SERVICES["worker-gpu-0"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}
    assert worker["command"][worker["command"].index("--processes") + 1] == "1"
    queues = {
        name: set(service["command"][service["command"].index("--queues") + 1].split(","))
        for name, service in SERVICES.items()
        if name.startswith("worker")
    }
    assert queues["worker-gpu-0"] | queues["worker-cpu"] == {"decode", "encode", "io"}
    assert not queues["worker-gpu-0"] & queues["worker-cpu"]


def test_mounted_files_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if isinstance(volume, str) and volume.startswith("./") and not volume.startswith("./backup"):
                assert (DEPLOY / volume.split(":")[0]).exists(), volume
                assert volume.endswith(":ro"), volume


def test_images_have_versions() -> None:
    for name, service in SERVICES.items():
        tag = service["image"].partition(":")[2]
        assert tag and tag != "latest" and (is_ours(service) or any(c.isdigit() for c in tag)), name
