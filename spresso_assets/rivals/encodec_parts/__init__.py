"""EnCodec (Défossez et al. 2022), our own: chunked stereo at 48 kHz, and a Transformer that shortens the codes."""
