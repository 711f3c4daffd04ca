"""How close decodes come to their sources, how fast, at what rate: metrics, measurements, the tables of the docs."""
