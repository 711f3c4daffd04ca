"""Other systems of the literature as codecs behind one interface, so that they can be compared on the same sounds."""
