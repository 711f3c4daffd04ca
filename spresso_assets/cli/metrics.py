"""`spresso metrics`: the catalog as Prometheus wants to see it."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from spresso_assets.cli.state import state_of
from spresso_assets.errors import SpressoError


def metrics(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to answer on.")] = 9464,
    host: Annotated[str, typer.Option(help="Address to answer on; this machine alone by default.")] = "127.0.0.1",
    once: Annotated[bool, typer.Option("--once", help="Print them and end.")] = False,
) -> None:
    """Answer Prometheus until stopped: queues, jobs, workers, roots and the archive, out of the catalog.

    One exporter sees the workers of all machines. It shows numbers and names of roots, profiles and workers, no paths
    and no secrets; still, let only Prometheus reach it.
    """
    state = state_of(ctx)
    try:
        from prometheus_client import CollectorRegistry, generate_latest, start_http_server
    except ModuleNotFoundError as error:
        raise SpressoError(
            "the Prometheus client is not installed",
            code="metrics_extra_missing",
            hint="pip install 'spresso-assets[metrics]'",
        ) from error
    from spresso_assets.catalog.engine import open_catalog
    from spresso_assets.jobs.metrics import CatalogCollector

    registry = CollectorRegistry(auto_describe=False)
    location = state.settings.catalog
    if once:
        collector = CatalogCollector(state.catalog)
        registry.register(collector)
        text = generate_latest(registry).decode()
        samples = [
            {"name": sample.name, "labels": sample.labels, "value": sample.value}
            for family in collector.collect()
            for sample in family.samples
        ]
        state.out.result(samples, lambda: text.splitlines())
        return
    registry.register(CatalogCollector(lambda: open_catalog(location)))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SpressoError(
            f"cannot answer on {host}:{port}: {error.strerror or error}",
            code="port_unavailable",
            hint="Name another one with --port, or another --host.",
        ) from error
    state.out.note(f"metrics on http://{host}:{port}/metrics; Ctrl-C ends")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(1.0):
        pass
    server.shutdown()
    thread.join()
