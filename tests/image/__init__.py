"""The appliance's image, built and booted in an emulated machine."""
