"""The chart: rendered by Helm, held against the schemas of Kubernetes, its query asked of a real Postgres."""

from __future__ import annotations

from typing import Any

import pytest

from tests.catalog.conftest import new_database, postgres_server
from tests.deploy.files import CHART, FULL, LEAN, helm, pods, rendered

__all__ = ["postgres_server"]

# Kinds that are not part of Kubernetes.
FOREIGN = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor"}
NOW_US = 1_800_000_000_000_000


def test_helm_has_nothing_to_say() -> None:
    done = helm("lint", "--strict", CHART, "--set=archive.existingClaim=sounds")
    assert done.returncode == 0, done.stdout


def test_fits_the_schemas_of_kubernetes() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="tests/deploy/tools.sh installs it").validate
    full = rendered(FULL)
    for document in full + [document for document in rendered(LEAN) if document not in full]:
        if document["kind"] not in FOREIGN:
            validate(document, "1.30", strict=True)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "name the claim that holds your sounds"),
        ({**LEAN, "cpuWorker.replica": "2"}, "replica"),
        ({**LEAN, "cpuWorker.queues": "{bulk}"}, "queues"),
        ({**LEAN, "podSecurityContext.runAsNonRoot": "false"}, "runAsNonRoot"),
    ],
    ids=["no archive", "misspelt", "unknown queue", "as root"],
)
def test_wrong_values_are_said(values: dict[str, str], told: str) -> None:
    done = helm("template", "demo", CHART, *(f"--set={key}={value}" for key, value in values.items()))
    assert done.returncode != 0 and told in done.stderr


def test_pods_are_closed_and_see_the_archive_read_only() -> None:
    for component, spec in pods(FULL):
        assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] == 10001
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert ("archive" in mounts) == component.startswith(("watcher", "worker")), component
        for name in {"archive", "secrets"} & set(mounts):
            assert mounts[name]["readOnly"] is True, component
        claims = {v["name"]: v["persistentVolumeClaim"] for v in spec["volumes"] if "persistentVolumeClaim" in v}
        assert "archive" not in claims or claims["archive"]["readOnly"] is True
        # A group for files would make Kubernetes change the owners of the whole archive.
        assert "fsGroup" not in spec["securityContext"] or component == "backup"


def test_secrets_are_files() -> None:
    for component, spec in pods(FULL):
        environment = spec["containers"][0]["env"]
        assert all("valueFrom" not in variable for variable in environment), component
        secret = next(volume["secret"] for volume in spec["volumes"] if volume["name"] == "secrets")
        named = {f"/run/secrets/spresso/{item['path']}" for item in secret["items"]}
        assert {variable["value"] for variable in environment if variable["name"].endswith("_FILE")} == named


def test_one_pod_holds_one_gpu() -> None:
    specs = dict(pods(FULL))
    (container,) = specs["worker-gpu"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["args"][container["args"].index("--processes") + 1] == "1"
    assert "nvidia.com/gpu" not in str(specs["worker-cpu"]["containers"])


def test_stopping_is_draining() -> None:
    specs = dict(pods(FULL))
    assert specs["worker-gpu"]["terminationGracePeriodSeconds"] == 300
    # No probe may end a worker that waits for its database.
    assert not any("livenessProbe" in specs[name]["containers"][0] for name in ("worker-cpu", "worker-gpu", "watcher"))


def test_keda_owns_the_number_of_workers() -> None:
    documents = rendered(FULL)
    scaled = {d["spec"]["scaleTargetRef"]["name"]: d["spec"] for d in documents if d["kind"] == "ScaledObject"}
    workers = {d["metadata"]["name"]: d["spec"] for d in documents if "-worker-" in d["metadata"]["name"]}
    assert set(scaled) == {"demo-spresso-worker-cpu", "demo-spresso-worker-gpu"} <= set(workers)
    for document in documents:
        if document["kind"] == "Deployment" and document["metadata"]["name"] in scaled:
            assert "replicas" not in document["spec"]
    assert all(spec["minReplicaCount"] == 0 for spec in scaled.values())
    assert all(d["spec"]["replicas"] == 1 for d in rendered(LEAN) if d["kind"] == "Deployment")


def _query(queues: str) -> str:
    values = {**FULL, "cpuWorker.queues": queues}
    for document in rendered(values):
        if document["kind"] == "ScaledObject" and document["metadata"]["name"].endswith("cpu"):
            return str(document["spec"]["triggers"][0]["metadata"]["query"])
    raise AssertionError("no query")


def test_keda_counts_what_workers_would_find(request: pytest.FixtureRequest) -> None:
    """The query in the chart against the condition in `jobs.queue`, over jobs of every kind."""
    query = _query("{encode,io}")
    from spresso_assets.catalog.engine import database_now, open_catalog
    from spresso_assets.catalog.models import Batch, Job, QueuePause
    from spresso_assets.jobs.queue import may_begin

    with new_database(request.getfixturevalue("postgres_server")) as url:
        catalog = open_catalog(url, create=True)
        count = 0

        def job(status: str = "queued", queue: str = "encode", **more: Any) -> Job:
            nonlocal count
            count += 1
            held = {"lease_owner": "a", "lease_until": 1} if status == "running" else {}
            return Job(kind="encode", dedupe_key=str(count), status=status, queue=queue, **held, **more)

        def counted() -> int:
            from sqlalchemy import text

            with catalog.read() as session:
                return int(session.connection().execute(text(query)).scalar_one())

        def ready() -> int:
            from sqlalchemy import func
            from sqlmodel import col, select

            with catalog.read() as session:
                found = select(func.count()).select_from(Job).where(
                    col(Job.queue).in_(("encode", "io")), *may_begin(database_now(session))
                )  # fmt: skip
                return session.exec(found).one()

        try:
            assert counted() == ready() == 0
            with catalog.session() as session:
                now = database_now(session)
                running, paused, over = (
                    Batch(kind="reencode"),
                    Batch(kind="reencode", state="paused"),
                    Batch(kind="reencode", state="paused", pause_expires_at=now - 1),
                )
                session.add_all([running, paused, over])
                session.flush()
                session.add_all([job(), job(queue="io"), job(queue="decode"), job("failed"), job("succeeded")])
                session.add_all([job(not_before=now + 10**12), job(batch_id=running.id), job(batch_id=over.id)])
                session.add(job(batch_id=paused.id))
            assert counted() == ready() == 4
            with catalog.session() as session:
                session.add_all([job("running"), job("running", queue="decode")])
            assert counted() == ready() + 1  # a worker is not taken away from what it does
            with catalog.session() as session:
                session.add(QueuePause(queue="io", paused_by="me"))
                session.add(QueuePause(queue="encode", paused_by="me", expires_at=1))
            assert counted() == ready() + 1 == 4
        finally:
            catalog.close()
