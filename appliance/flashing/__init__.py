"""The appliance's image onto a disk: the right one, whole, and with ids of its own.

It is also a program by itself (`rokubox-flash`), for a technician's machine that has Python and nothing else: no module
in here needs more than the standard library.
"""
