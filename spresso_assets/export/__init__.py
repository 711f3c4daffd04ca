"""Sounds leave the catalog: decoded again, as latents, or as the untouched originals, with a list of what is what.

A room of its own beside `ingest`, because the command line and the plugin bridge both need it.
"""
