"""Range, If-Range and If-None-Match, as RFC 9110 wants them."""

from __future__ import annotations

import pytest

from plugin_bridge.render.ranges import byte_range, names_tag, still_same


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-", (10, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-700", (0, 100)),
        ("bytes=90-1000", (90, 100)),
        ("Bytes = 1 - 2 ", (1, 3)),
        ("bytes=0-1,5-6", None),
        ("bytes=9-2", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
        ("bytes=" + "9" * 40 + "-", None),
    ],
)
def test_one_range_is_a_part_and_all_else_the_whole(header: str | None, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_without_a_byte_of_the_file_is_an_error(header: str) -> None:
    with pytest.raises(ValueError):
        byte_range(header, 100)


def test_tags() -> None:
    assert names_tag('"b", W/"a"', '"a"') and names_tag("*", '"a"') and names_tag('"a"', 'W/"a"')
    assert not names_tag('"b"', '"a"') and not names_tag(None, '"a"')
    assert still_same(None, '"a"') and still_same('"a"', '"a"')
    assert not still_same('W/"a"', 'W/"a"') and not still_same("Sat, 21 Nov 2026 16:00:08 GMT", '"a"')
