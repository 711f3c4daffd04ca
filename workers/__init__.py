"""Background workers for teams. All work and all truth is in `spresso_assets.jobs`; this room starts processes that do
it, and wakes them up through Redis.

A job is a row in the catalog; a message only says "have a look". Lost, late or delivered twice, the result is the same.

    spresso worker --queues decode,encode,io --device cuda:0
"""
