"""What the NOC is told, over MQTT 5: topics, messages, the outbox that loses none, the connection."""
