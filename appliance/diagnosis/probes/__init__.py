"""The edge of diagnosis: small questions, bounded in time, asked from the management port only; nothing needs root."""
