"""The status page: what a technician sees on the box's screen, on its serial port, and by `rokubox status`."""
