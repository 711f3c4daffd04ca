"""Settings of Flower: user `admin`, and the password of the dashboards, from its file."""

from pathlib import Path

address = "0.0.0.0"
port = 5555
basic_auth = ["admin:" + Path("/run/secrets/dashboard_password").read_text(encoding="utf-8").strip()]
