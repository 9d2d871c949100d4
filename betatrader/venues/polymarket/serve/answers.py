"""JSON answers, refusals and cursor pages, as the venue writes them."""

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

import msgspec

from betatrader.model.money import show
from betatrader.net.transport import Answer, Request

JSON = {"content-type": "application/json"}
FIRST_CURSOR = "MA=="
LAST_CURSOR = "LTE="
PAGE = 500


class RefusedRequestError(Exception):
    """A request that the venue does not grant, in the venue's own words."""

    def __init__(
        self, status: int, text: str, *, code: str = "", retry_after_s: int = 0, **more: str
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code
        self.retry_after_s = retry_after_s
        self.more = more

    def answer(self) -> Answer:
        """The refusal as an answer."""
        body: dict[str, object] = {"error": self.text, **self.more}
        headers = dict(JSON)
        if self.code:
            body["code"] = self.code
        if self.retry_after_s:
            body["retry_after_seconds"] = self.retry_after_s
            headers["retry-after"] = str(self.retry_after_s)
        return Answer(self.status, msgspec.json.encode(body), headers)


def granted(body: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Status 200 with a JSON body."""
    return Answer(200, msgspec.json.encode(body), {**JSON, **(headers or {})})


def number(units: int) -> msgspec.Raw:
    """Units of 10^-8 as a JSON number, exactly."""
    return msgspec.Raw(show(units).encode())


def asked(request: Request) -> dict[str, str]:
    """The query's parameters; of one that is given twice, the last."""
    return dict(parse_qsl(request.query, keep_blank_values=True))


def asked_many(request: Request, name: str) -> set[str]:
    """All values of a parameter, whether repeated or parted by commas."""
    pairs = parse_qsl(request.query)
    return {part for key, value in pairs if key == name for part in value.split(",") if part}


def body_of(request: Request) -> object:
    """The JSON body; a refusal where it is none."""
    try:
        return msgspec.json.decode(request.body)
    except msgspec.DecodeError:
        raise RefusedRequestError(400, "Invalid payload") from None


def page(items: Sequence[object], cursor: str, size: int = PAGE) -> dict[str, object]:
    """One page of a list, from a cursor on."""
    start = offset_of(cursor)
    shown = items[start : start + size]
    end = start + len(shown)
    following = LAST_CURSOR if end >= len(items) else cursor_of(end)
    return {"limit": size, "count": len(shown), "next_cursor": following, "data": list(shown)}


def cursor_of(offset: int) -> str:
    """The cursor of an offset: its decimal digits in base64."""
    return base64.b64encode(str(offset).encode()).decode()


def offset_of(cursor: str) -> int:
    """The offset that a cursor names."""
    if not cursor:
        return 0
    try:
        offset = int(base64.b64decode(cursor, validate=True))
    except ValueError:
        raise RefusedRequestError(400, "invalid next_cursor") from None
    return offset if offset >= 0 else 1 << 62  # "-1" is the end
