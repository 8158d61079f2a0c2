"""The data partition of the appliance: made at the first boot, opened at every boot, destroyed by a factory reset.

    data-unmade  ──make──►  data  ──a stick and a word──►  data-erasing  ──destroyed──►  data-unmade
    (as flashed)

The state is the partition's name in the partition table, which is replaced as a whole: whatever a power cut interrupts
begins again. It runs before the system does, called by the initial file system's script out of the checked root, and
uses the standard library only.
"""
