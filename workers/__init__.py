"""Background workers for teams: a Celery app whose tasks are thin. All work and all truth is in `spresso_assets.jobs`.

A job is a row in the catalog; a message only says "have a look at this one". Lost, late or delivered twice, the result
is the same. Start one worker per machine, or one per GPU:

    SPRESSO_BROKER_URL=redis://localhost/0 celery -A workers.app worker --pool solo --queues io,encode
"""
