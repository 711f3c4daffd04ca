"""Is the archive what the catalog believes it to be? Four levels, each containing those before it.

stat     files are there and unchanged, renditions are there, no job contradicts what it left behind
hash     payloads and originals have the hashes that were recorded, streams parse, headers tell the truth
decode   sampled renditions decode to finite, audible sound of the right length
quality  their decodes are compared with their sources; the figure is kept, the outliers are told

Findings come one by one; showing them is the caller's matter. Files are only ever read.
"""
