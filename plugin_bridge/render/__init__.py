"""From a request for a take to its samples: exact lengths, one decode queue, caches."""
