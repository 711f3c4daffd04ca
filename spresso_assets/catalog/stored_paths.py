"""File names of any bytes as text that every database takes, and back. No database library is imported here."""


def path_to_stored(path: str) -> str:
    """A file name as the operating system gives it -> text that any database takes.

    Python shows bytes that are not UTF-8 as lone surrogates U+DC80..U+DCFF, which no UTF-8 database accepts. They
    move to the end of the last private plane (U+10FF80..U+10FFFF), where no real name lives, and back on reading.
    """
    if path.isascii():
        return path
    return "".join(chr(0x10FF00 + (ord(c) & 0xFF)) if "\udc80" <= c <= "\udcff" else c for c in path)


def path_from_stored(text: str) -> str:
    """The inverse of `path_to_stored`."""
    if text.isascii():
        return text
    return "".join(chr(0xDC00 + (ord(c) & 0xFF)) if "\U0010ff80" <= c <= "\U0010ffff" else c for c in text)
