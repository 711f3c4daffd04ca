"""A codec of spectrogram images: magnitudes as a picture, compressed like one; the phase is made up from them."""
