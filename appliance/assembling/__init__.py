"""`rokubox-assemble`: the journal into the archive, whatever stands in the way."""
