"""Measuring the machinery around the codec: catalogs, queues and workers at the size of a whole department."""
