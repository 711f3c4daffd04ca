"""Audacity, spoken to through its own scripting pipe."""
