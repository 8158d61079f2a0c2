"""The thread that keeps the box connected to the broker: one session after the other, with growing pauses."""

import random
import ssl
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from appliance.errors import CertificateError
from appliance.supervision.backoff import Backoff
from appliance.telemetry import certificates
from appliance.telemetry.failure import ConnectReason, Failure
from appliance.telemetry.outbox import Outbox
from appliance.telemetry.session import ANSWER_S, GOODBYE_S, Answer, Request, Said, Session
from appliance.telemetry.settings import MqttSettings
from appliance.telemetry.topics import BoxTopics

DELAYS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses between connections that fail, each by up to half longer or shorter: a fleet must not come all at once."""
CALM_S = 60.0
LOOK_S = 2.0
"""How often the files of the certificates are looked at."""
MAX_REQUESTS = 16
MAX_RETAINED = 10_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """How it is with the connection."""

    is_connected: bool = False
    failure: Failure | None = None
    """Why there is none; None also before the first attempt has ended."""
    connections: int = 0
    """How often it came about."""
    sent: int = 0
    """Messages that the broker has confirmed."""
    rejected: int = 0
    """Messages that it will never take."""
    files: str = ""
    """What is wrong with certificates that were dropped and are not used yet."""
    renewals: int = 0
    """How often new certificates were taken up."""


class BrokerLink:
    """The connection. A context: at its end the box says that it goes."""

    def __init__(
        self,
        settings: MqttSettings,
        topics: BoxTopics,
        outbox: Outbox,
        said: Said,
        *,
        delays_s: tuple[float, ...] = DELAYS_S,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._outbox = outbox
        self._said = said
        self._backoff = Backoff(delays_s, CALM_S)
        self._state = LinkState()
        self._requests: deque[Request] = deque(maxlen=MAX_REQUESTS)
        self._retained: deque[str] = deque(maxlen=MAX_RETAINED)
        self._answers: deque[Answer] = deque()
        self._stopping = threading.Event()
        self._context: ssl.SSLContext | None = None
        self._stamp: certificates.Stamp = ()
        self._looked_s = 0.0
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    @property
    def state(self) -> LinkState:
        """How it is now."""
        return self._state

    def take_requests(self) -> list[Request]:
        """What the box was asked since the last call."""
        return _all_of(self._requests)

    def take_retained(self) -> list[str]:
        """Ids of alarms that the broker keeps of this box, as it told since the last call."""
        return _all_of(self._retained)

    def answer(self, answer: Answer) -> None:
        """Answer a request; while there is no connection nobody waits for it any more."""
        self._answers.append(answer)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Say that the box goes, and end. A broker that does not answer is not waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * GOODBYE_S + ANSWER_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                failure = self._serve()
            except Exception as error:  # the NOC must not lose sight of the box because of one message
                failure = Failure(reason=ConnectReason.OTHER, detail=f"internal error: {type(error).__name__}")
            if failure is not None:
                self._state = replace(self._state, is_connected=False, failure=failure)
                pause_s = self._backoff.after(time.monotonic() - began_s) * random.uniform(0.5, 1.5)
                self._stopping.wait(pause_s)

    def _serve(self) -> Failure | None:
        """One session; why it ended, None when that was our own wish."""
        try:
            self._load()
        except CertificateError as error:
            return Failure(reason=ConnectReason.CERTIFICATE_FILES, detail=str(error))
        session = Session(
            self._settings,
            self._topics,
            self._outbox,
            self._said,
            context=self._context,
            take=self._requests.append,
            retained=self._retained.append,
        )
        self._answers.clear()
        failure = session.connect()
        deadline = time.monotonic() + ANSWER_S
        while failure is None:
            failure = session.turn()
            self._note(session)
            if failure is None and not session.is_connected and time.monotonic() > deadline:
                failure = Failure(reason=ConnectReason.TIMED_OUT, detail="no answer to CONNECT")
            if failure is None and self._stopping.is_set():
                session.leave(offline=True)
                return None
            if failure is None and self._is_renewed():
                session.leave(offline=False)
                return None
            while self._answers and session.is_connected:
                session.answer(self._answers.popleft())
        session.leave(offline=False)
        return failure

    def _note(self, session: Session) -> None:
        before = self._state
        if session.is_connected and not before.is_connected:
            before = replace(before, is_connected=True, failure=None, connections=before.connections + 1)
        sent, session.sent = session.sent, 0
        rejected, session.rejected = session.rejected, 0
        self._state = replace(before, sent=before.sent + sent, rejected=before.rejected + rejected)

    def _load(self) -> None:
        if self._settings.tls:
            self._stamp = certificates.stamp(self._settings)
            self._context = certificates.context(self._settings)

    def _is_renewed(self) -> bool:
        """Whether there are new certificates that can be used."""
        now_s = time.monotonic()
        if not self._settings.tls or now_s < self._looked_s + LOOK_S:
            return False
        self._looked_s = now_s
        if certificates.stamp(self._settings) == self._stamp:
            return False
        try:
            certificates.context(self._settings)
        except CertificateError as error:
            self._state = replace(self._state, files=str(error))
            return False
        self._state = replace(self._state, files="", renewals=self._state.renewals + 1)
        return True

    def __enter__(self) -> "BrokerLink":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _all_of(waiting: deque[T]) -> list[T]:
    taken = []
    with suppress(IndexError):
        while True:
            taken.append(waiting.popleft())
    return taken
