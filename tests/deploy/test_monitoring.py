"""Dashboard and alerts: valid, tested, and made of figures that the program really gives."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Spresso
from tests.cli.conftest import spresso as spresso
from tests.deploy.files import DEPLOY, REPOSITORY, alerts, dashboard, program

PROMETHEUS = DEPLOY / "prometheus"
METRIC = re.compile(r"\bspresso_[a-z_]+\b")


def expressions() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]


def promtool(*args: str | Path) -> str:
    done = subprocess.run([program("promtool"), *map(str, args)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_reads_its_settings() -> None:
    assert "13 rules found" in promtool("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", REPOSITORY / "tests" / "deploy" / "alerts.yml")


def test_every_alert_is_tested_both_ways() -> None:
    document = yaml.safe_load((REPOSITORY / "tests" / "deploy" / "alerts.yml").read_text(encoding="utf-8"))
    fires, silent = set(), set()
    for case in document["tests"]:
        for check in case["alert_rule_test"]:
            (fires if check.get("exp_alerts") else silent).add(check["alertname"])
    assert fires == silent == {rule["alert"] for rule in alerts()}


def test_every_query_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    """As rules, which promtool parses."""
    rules = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(numbers)) == len(numbers)


def used() -> set[str]:
    """Names of figures in the dashboard and the alerts."""
    return set(METRIC.findall(" ".join([*expressions(), *(rule["expr"] for rule in alerts())])))


def test_the_program_gives_every_figure(spresso: Spresso) -> None:
    """And every figure that it gives is shown."""
    spresso.ok("init")
    told = spresso.ok("metrics", "--once").out
    given = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", told, re.MULTILINE):
        given |= {f"{name}_sum", f"{name}_count"} if kind == "summary" else {name}
    assert given == used()


def test_prometheus_reads_the_figures(spresso: Spresso) -> None:
    spresso.ok("init")
    told = spresso.ok("metrics", "--once").out
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=told, capture_output=True, text=True, timeout=60
    )
    # 3: the linter has wishes, for example of names; 1: it cannot be parsed
    assert done.returncode in (0, 3), done.stderr


@pytest.mark.parametrize("name", ["datasources/prometheus.yaml", "dashboards/spresso.yaml"])
def test_grafana_finds_what_it_is_told(name: str) -> None:
    document = yaml.safe_load((DEPLOY / "grafana" / name).read_text(encoding="utf-8"))
    assert document["apiVersion"] == 1
    (entry,) = document["datasources" if name.startswith("data") else "providers"]
    mounts = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["grafana"]["volumes"]
    if name.startswith("dash"):
        assert any(mount.startswith(f"./dashboards:{entry['options']['path']}:") for mount in mounts)
