"""Where recordings are delivered: one module a protocol, one contract."""
