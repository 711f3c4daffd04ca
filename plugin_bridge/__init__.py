"""The local server that audio tools talk to: search, audition, variations, real files."""
