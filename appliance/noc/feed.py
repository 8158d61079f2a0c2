"""Messages from the broker, in a thread of their own; it connects again by itself."""

import secrets
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from appliance.errors import RequestError
from appliance.telemetry import certificates
from appliance.telemetry.failure import Failure, of_code, of_error
from appliance.telemetry.settings import MqttSettings
from appliance.telemetry.topics import PREFIX

MAX_WAITING = 200_000
"""Messages that were not taken yet; the oldest go."""
_LONGEST_S = 30


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message; without a topic: the connection came about."""

    topic: str
    payload: bytes
    retained: bool
    at_ns: int
    """Real time when it came."""


class Feed:
    """A subscription to the fleet. A context."""

    def __init__(self, settings: MqttSettings, customer: str = "+") -> None:
        """Raises CertificateError."""
        self._settings = settings
        self._filter = f"{PREFIX}/{customer}/+/+/#"
        self._waiting: deque[Arrived] = deque(maxlen=MAX_WAITING)
        self.is_connected = False
        self.failure: Failure | None = None
        """Why there is no connection."""
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"rokubox-noc-{secrets.token_hex(4)}",
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        if settings.tls:
            self._client.tls_set_context(certificates.context(settings))
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, _LONGEST_S)

    def take(self) -> list[Arrived]:
        """What has come since the last call."""
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._waiting.popleft())
        return taken

    def start(self) -> None:
        """Connect. What fails at the first try is told at once, later tries go on by themselves.

        Raises:
            RequestError: there is no way to the broker.
        """
        try:
            self._client.connect(self._settings.host, self._settings.port, keepalive=self._settings.keepalive_s)
        except OSError as error:
            failure = of_error(error)
            raise RequestError(f"the broker cannot be reached: {failure.reason}: {failure.detail}") from None
        self._client.loop_start()

    def stop(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: Client, _userdata: Any, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self.failure = of_code(code.value, str(code)) if code.is_failure else None
        if not code.is_failure:
            self.is_connected = True
            # What is retained comes once more: what does not is over.
            self._waiting.append(Arrived("", b"", retained=False, at_ns=time.time_ns()))
            client.subscribe(self._filter, qos=1)

    def _on_disconnect(
        self, _client: Client, _userdata: Any, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self.is_connected = False
        if self.failure is None:
            self.failure = of_code(code.value, str(code))

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        arrived = Arrived(message.topic, bytes(message.payload), bool(message.retain), time.time_ns())
        self._waiting.append(arrived)

    def __enter__(self) -> "Feed":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
