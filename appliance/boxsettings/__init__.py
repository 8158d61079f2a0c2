"""What the configuration says of the machine itself, as files that other programs of the appliance read."""
