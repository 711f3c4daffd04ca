"""SoundStream (Zeghidour et al. 2021), our own: convolutions and residual codes, one model for all rates."""
