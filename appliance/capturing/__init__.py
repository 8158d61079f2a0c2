"""`rokubox-capture`: the mirror ports into the journal."""
