"""One connection to the broker, from CONNECT to its end. Owns the thread that serves it; used by `link`.

| step            | does                                                                                     |
|-----------------|------------------------------------------------------------------------------------------|
| CONNECT         | MQTT 5, clean start, session expiry 0 said explicitly, the will: offline, retained        |
| CONNACK         | `status` online and `info`, retained; subscribes to `cmd/+` when commands are allowed,    |
|                 | and to its own alarms: what is retained and does not stand any more is taken away         |
| connected       | the outbox in its order, QoS 1, as many at a time as the broker takes (Receive Maximum)   |
| PUBACK          | the outbox forgets the message; one that can never be taken is forgotten too, and counted |
| asked to end    | what waits, for a moment; then `status` offline, its PUBACK, and only then DISCONNECT     |

The broker keeps no session of ours: what is not delivered is in the outbox, and a request must not reach a box days
later. Each connection begins with what was never confirmed, so the order within a topic stays.
"""

import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.telemetry.failure import ConnectReason, Failure, of_code, of_error
from appliance.telemetry.outbox import Outbox
from appliance.telemetry.settings import MqttSettings
from appliance.telemetry.topics import BoxTopics

SESSION_EXPIRY_S = 0
WINDOW = 100
"""Messages under way at a time, if the broker takes so many."""
SEND_BYTES_S = 250_000
"""What waited for days must not fill a site's line: 2 Mbit/s."""
TURN_S = 0.2
"""How long a message may wait to be noticed."""
ANSWER_S = 10.0
"""How long the broker may take for its answer to CONNECT."""
GOODBYE_S = 2.0
"""How long the end may take for what still waits, and again for the broker to know that we go."""
NEVER_TAKEN = frozenset({0x90, 0x95, 0x99})
"""Reason codes for a message that will not be taken next time either: topic, size, form."""
MAX_REQUEST_BYTES = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something the box is asked."""

    command: str
    payload: bytes
    response_topic: str
    correlation: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    request: Request
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the box says of itself when it comes and goes; each call makes a message."""

    online: Callable[[], bytes]
    stopped: Callable[[], bytes]
    lost: Callable[[], bytes]
    info: Callable[[], bytes]


class _RememberingSocket(ssl.SSLSocket):
    """Keeps the error that ended it: the library only logs it, and with TLS 1.3 it tells that our certificate is not
    taken."""

    failure: OSError | None = None

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.failure = error
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.failure = error
            with suppress(OSError):  # why it was closed may be there to be read
                self.recv(1)
            raise


class Session:
    """One connection. `serve` returns why it ended."""

    def __init__(
        self,
        settings: MqttSettings,
        topics: BoxTopics,
        outbox: Outbox,
        said: Said,
        *,
        context: ssl.SSLContext | None,
        take: Callable[[Request], None],
        retained: Callable[[str], None],
    ) -> None:
        """`take` gets what the box is asked, `retained` the ids of alarms that the broker keeps of it."""
        self._settings = settings
        self._topics = topics
        self._outbox = outbox
        self._said = said
        self._take = take
        self._retained = retained
        self._under_way: dict[int, int] = {}
        """Numbers in the outbox by the packet identifiers of what was sent."""
        self._confirmed: set[int] = set()
        self._unheard: set[int] = set()
        """Packet identifiers of what is not from the outbox."""
        self._window = WINDOW
        self._allowed_bytes = float(SEND_BYTES_S)
        self._filled_s = time.monotonic()
        self._failure: Failure | None = None
        self._socket: Any = None
        self.is_connected = False
        """The broker has taken us."""
        self.sent = 0
        """Messages of the outbox that the broker has confirmed."""
        self.rejected = 0
        """Messages of the outbox that it will never take."""
        self._client = self._made(context)

    def connect(self) -> Failure | None:
        """Connect; None when CONNECT is on its way."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        try:
            self._client.connect(
                self._settings.host,
                self._settings.port,
                keepalive=self._settings.keepalive_s,
                clean_start=True,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            return of_error(error)
        return None

    def turn(self) -> Failure | None:
        """Send, receive, wait for a moment; why it ended, once it has."""
        if self.is_connected:
            self._send()
        code = self._client.loop(TURN_S)
        self._settle()
        if code is MQTTErrorCode.MQTT_ERR_SUCCESS and self._failure is None:
            return None
        if self._failure is None:
            self._failure = Failure(reason=ConnectReason.CLOSED, detail=str(code.name))
        self.is_connected = False
        self._client.disconnect()
        return self._failure

    def answer(self, answer: Answer) -> None:
        """Answer a request, as the topic and the correlation data in it say."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if answer.request.correlation:
            properties.CorrelationData = answer.request.correlation
        sent = self._client.publish(answer.request.response_topic, answer.payload, qos=1, properties=properties)
        self._unheard.add(sent.mid)

    def leave(self, *, offline: bool) -> None:
        """End it in good order; `offline`: say that the box goes, too."""
        if self.is_connected and offline:
            self._until(lambda: not self._under_way and not self._outbox.pending(1))
        self.is_connected, connected = False, self.is_connected
        if connected and offline:
            self._say(self._topics.status, self._said.stopped())
            self._until(lambda: not self._unheard)
        self._client.disconnect()
        while self._client.want_write() and self._client.loop(0) is MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass
        self._settle()

    def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + GOODBYE_S
        while not done() and time.monotonic() < deadline:
            if self.is_connected:
                self._send()
            if self._client.loop(0.05) is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
            self._settle()

    def _made(self, context: ssl.SSLContext | None) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"rokubox-{self._topics.serial}",
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        if context is not None:
            context.sslsocket_class = _RememberingSocket
            client.tls_set_context(context)
        client.max_inflight_messages_set(WINDOW)
        client.will_set(self._topics.status, self._said.lost(), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        return client

    def _send(self) -> None:
        """Send what the broker has room for and the line is to carry."""
        now_s = time.monotonic()
        refill = (now_s - self._filled_s) * SEND_BYTES_S
        self._allowed_bytes, self._filled_s = min(self._allowed_bytes + refill, SEND_BYTES_S), now_s
        room = self._window - len(self._under_way)
        if room <= 0 or self._allowed_bytes <= 0:
            return
        for envelope in self._outbox.pending(room, self._under_way.values()):
            if self._allowed_bytes <= 0:
                break
            self._allowed_bytes -= envelope.size_bytes
            sent = self._client.publish(envelope.topic, envelope.payload, qos=1, retain=envelope.retain)
            self._under_way[sent.mid] = envelope.n

    def _say(self, topic: str, payload: bytes) -> None:
        self._unheard.add(self._client.publish(topic, payload, qos=1, retain=True).mid)

    def _settle(self) -> None:
        confirmed, self._confirmed = self._confirmed, set()
        self._outbox.confirm(confirmed)

    def _on_socket_open(self, _client: Client, _userdata: Any, opened: Any) -> None:
        self._socket = opened

    def _on_connect(
        self, client: Client, _userdata: Any, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._failure = of_code(code.value, str(code))
            return
        self._window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self._say(self._topics.status, self._said.online())
        self._say(self._topics.info, self._said.info())
        if self._settings.commands:
            client.subscribe(self._topics.commands, qos=1)
        client.subscribe(self._topics.alarms, options=SubscribeOptions(qos=0, noLocal=True))
        self.is_connected = True

    def _on_disconnect(
        self, _client: Client, _userdata: Any, flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self.is_connected = False
        if self._failure is not None:
            return
        error = getattr(self._socket, "failure", None)
        if flags.is_disconnect_packet_from_server:
            self._failure = of_code(code.value, str(code))
        elif error is not None:
            self._failure = of_error(error)

    def _on_publish(
        self, _client: Client, _userdata: Any, mid: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self._unheard.discard(mid)
        n = self._under_way.pop(mid, None)
        if code.is_failure and code.value not in NEVER_TAKEN:
            self._failure = of_code(code.value, str(code))
        elif n is not None:
            self._confirmed.add(n)
            self.sent += not code.is_failure
            self.rejected += code.is_failure

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        """Take a request; one that is retained is nobody's order, and one without a way back gets no answer."""
        if message.retain and message.payload and (id := self._topics.alarm_of(message.topic)):
            self._retained(id)
        command = self._topics.command_of(message.topic)
        if not command or message.retain or len(message.payload) > MAX_REQUEST_BYTES:
            return
        properties = message.properties
        self._take(
            Request(
                command=command,
                payload=bytes(message.payload),
                response_topic=str(getattr(properties, "ResponseTopic", "")),
                correlation=bytes(getattr(properties, "CorrelationData", b"")),
            )
        )
