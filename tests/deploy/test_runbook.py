"""The runbook has an entry for everything that keeps an installation, and not only one file, from working."""

from __future__ import annotations

import ast
import re

from spresso_assets.errors import ExitCode
from tests.deploy.files import REPOSITORY, alerts
from tests.docs.codes import _calls, _texts, error_codes, finding_codes, sources

TEXT = (REPOSITORY / "docs" / "operations" / "runbook.md").read_text(encoding="utf-8")
ENTRY = re.compile(r"^### ([^\n]+)\n\n(.*?)(?=\n##|\Z)", re.MULTILINE | re.DOTALL)
PARTS = ["You see", "Safe", "Do", "Over when"]
# Exit codes by which a command says that something outside of it is amiss.
OUTSIDE = {int(code) for code in ExitCode if ExitCode.CATALOG_MISSING <= code <= ExitCode.ROOT_OFFLINE}
# Said while a model is trained or fitted, by a person who sits in front of it.
TRAINING = ("text_",)


def entries() -> dict[str, str]:
    """Code or alert -> its entry."""
    return {name.strip(" `"): body for heading, body in ENTRY.findall(TEXT) for name in heading.split(",")}


def faults_of_the_surroundings() -> set[str]:
    """Codes of errors that may pass, or that need a person; read from the source."""
    found = set()
    for path in sources():
        for call in _calls(ast.parse(path.read_text(encoding="utf-8")), "SpressoError"):
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            kinds = {
                node.attr for node in ast.walk(given.get("kind", ast.Constant(None))) if isinstance(node, ast.Attribute)
            }
            if kinds & {"RETRYABLE", "ENVIRONMENT"} and "code" in given:
                found |= set(_texts(given["code"]))
    return found


def needed() -> set[str]:
    outside = {code for code, exits in error_codes().items() if exits & OUTSIDE}
    return {code for code in outside | faults_of_the_surroundings() | finding_codes() if not code.startswith(TRAINING)}


def test_has_an_entry_for_every_fault() -> None:
    assert needed() - set(entries()) == set()


def test_has_an_entry_for_every_alert_and_the_link_leads_there() -> None:
    names = {rule["alert"] for rule in alerts()}
    headings = set(re.findall(r"^### (Spresso\w+)$", TEXT, re.MULTILINE))
    assert names == headings
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/operations/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_has_no_entry_of_something_else() -> None:
    known = set(error_codes()) | finding_codes() | {rule["alert"] for rule in alerts()}
    assert set(entries()) <= known


def test_each_says_what_is_safe_what_to_do_and_when_it_is_over() -> None:
    for name, body in entries().items():
        assert re.findall(r"^- \*\*(.+?)\*\*: ", body, re.MULTILINE) == PARTS, name


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
