"""The web page of the bridge: plain files that a browser runs as they are."""
