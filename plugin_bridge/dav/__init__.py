"""The archive as a read-only folder of WAV files (WebDAV, class 1): for every program that can open files."""
