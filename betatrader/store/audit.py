"""The trader's way out to Redis: audit records, forecast requests, tops of book, the summary.

`offer` and `ask` never wait: records leave in batches, after the order has left for the venue.
While Redis is away, records queue up to a bound; what is dropped beyond it is counted. A record
may be written twice after a time-out, never in another order: its envelope's id tells readers.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice

import anyio
import structlog

from betatrader.model.command import StateChanged, Step
from betatrader.model.event import Event
from betatrader.model.signal import ForecastRequest
from betatrader.ops import metrics
from betatrader.store import keys
from betatrader.store.bus import FIELD, publish_all, seal
from betatrader.store.connection import AWAY, Client
from betatrader.store.schema import Schema

RECORDS_KEPT = 50_000
REQUESTS_KEPT = 256
ENTRIES_KEPT = 200_000
"""In the stream; it has no consumer that could miss one, and Redis must not fill up."""

SUMMARY_KEPT_S = 7 * 86_400
"""How long an ended run's summary stays."""

BATCH = 500
PAUSE_S = 0.5


class AuditLog:
    """Writes one run's audit stream in order, and the trading state that outlives the run."""

    def __init__(
        self,
        redis: Client,
        run: str,
        schema: Schema | None = None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """`leads` says whether this run's is the trading state of the account: a former leader
        that wakes up has nothing to say of that."""
        self._redis = redis
        self._leads = leads
        self._run = run
        self._schema = schema or Schema()
        self._records: deque[tuple[int, Event | Step]] = deque()
        self._requests: deque[ForecastRequest] = deque(maxlen=REQUESTS_KEPT)
        self._sequence = 0
        self._asked = 0
        self._wake = anyio.Event()
        self._lock = anyio.Lock()
        self._log = structlog.get_logger()
        self._summary: bytes = b""
        self._state: dict[str, str] = {}

    def offer(self, record: Event | Step) -> None:
        """Queue one record; the oldest is dropped, and counted, where too many wait."""
        self._sequence += 1
        self._records.append((self._sequence, record))
        if len(self._records) > RECORDS_KEPT:
            self._records.popleft()
            metrics.AUDIT_DROPPED.inc()
        self._wake.set()

    def ask(self, request: ForecastRequest) -> None:
        """Queue one request for intel; the oldest is dropped where too many wait."""
        if len(self._requests) == REQUESTS_KEPT:
            metrics.REQUESTS_DROPPED.inc()
        self._requests.append(request)
        self._wake.set()

    def summarise(self, summary: bytes, state: str, reason: str) -> None:
        """Write this summary next, and with it again which run this is and the trading state:
        a server that came back empty has lost both."""
        self._summary = summary
        self._state = {"state": state, "reason": reason}
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled; Redis going away is waited out."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            try:
                await self.flush()
            except AWAY as error:
                metrics.REDIS_ERRORS.labels("audit").inc()
                self._log.warning("redis_away", what="audit", error=str(error))
                self._wake.set()
                await anyio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write all that waits; raises what the client raises, and what waits stays."""
        async with self._lock:
            await self._send_requests()
            while self._records:
                batch = list(islice(self._records, BATCH))
                await self._send(batch)
                while self._records and self._records[0][0] <= batch[-1][0]:
                    self._records.popleft()
            await self._send_summary()

    async def _send_summary(self) -> None:
        summary = self._summary
        if not summary:
            return
        async with self._redis.pipeline(transaction=True) as pipe:
            if self._leads():
                pipe.set(keys.RUN, self._run)
                pipe.hset(keys.KEPT, mapping=self._state)
            pipe.set(keys.summary(self._run), summary, ex=SUMMARY_KEPT_S)
            await pipe.execute()
        if self._summary is summary:
            self._summary = b""

    async def _send_requests(self) -> None:
        """A request lost is a request late: it is never sent twice."""
        requests = []
        while self._requests:
            self._asked += 1
            name = f"{self._run}-{self._asked}"
            data = seal(self._requests.popleft(), name, self._run, self._schema.writes)
            requests.append((keys.REQUESTS, data))
        await publish_all(self._redis, requests)

    async def _send(self, batch: list[tuple[int, Event | Step]]) -> None:
        """One transaction, so that who reads an acknowledgement finds the state kept."""
        async with self._redis.pipeline(transaction=True) as pipe:
            for sequence, record in batch:
                data = seal(record, str(sequence), self._run, self._schema.writes)
                pipe.xadd(
                    keys.audit(self._run), {FIELD: data}, maxlen=ENTRIES_KEPT, approximate=True
                )
                changes = record.changes if isinstance(record, Step) else ()
                for change in changes:
                    if isinstance(change, StateChanged) and self._leads():
                        kept = {"state": str(change.state), "reason": change.reason}
                        pipe.hset(keys.KEPT, mapping=kept)
            await pipe.execute()
