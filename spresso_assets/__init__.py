"""spresso-assets: sound-effect archives as searchable S-PRESSO latents."""

__version__ = "0.1.0"
