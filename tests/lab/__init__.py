"""A SPAN port on one machine: real SIPp calls through a switch made of namespaces, recorded and compared."""
