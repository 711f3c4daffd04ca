"""From folders to `source_file` rows: what is there, what changed, what moved, what is not finished yet.

`scan` walks a root, `settle` decides whether a file is finished, `reconcile` compares the walk with the catalog and
writes the difference, `watcher` turns file events into hints for it. Nothing here opens a file for writing, and
nothing is ever removed because it is absent.
"""
