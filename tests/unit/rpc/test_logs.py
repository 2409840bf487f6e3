"""One JSON object per line."""

import json
import logging
import sys

from seamline.rpc.logs import REQUEST_ID, JsonFormatter


def line_of(message: str, *args: object, **extra: object) -> dict[str, object]:
    logger = logging.getLogger("seamline.test")
    caught = sys.exc_info() if sys.exc_info()[0] else None
    record = logger.makeRecord(logger.name, logging.WARNING, __file__, 1, message, args, caught, extra=extra or None)
    text = JsonFormatter("aligner").format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_line_says_when_who_and_what() -> None:
    line = line_of("kept %d of\n%d", 3, 4, method="Align", path=__file__)
    assert line["message"] == "kept 3 of\n4"
    assert (line["level"], line["service"], line["logger"]) == ("warning", "aligner", "seamline.test")
    assert (line["method"], line["path"]) == ("Align", __file__)
    assert "request_id" not in line
    assert "traceback" not in line


def test_a_line_carries_the_request_and_the_traceback() -> None:
    token = REQUEST_ID.set("order-17")
    try:
        raise ValueError("frame 7")
    except ValueError:
        line = line_of("crashed", key=frozenset())
    finally:
        REQUEST_ID.reset(token)
    assert line["request_id"] == "order-17"
    assert str(line["traceback"]).endswith("ValueError: frame 7")
    assert line["key"] == "frozenset()"
