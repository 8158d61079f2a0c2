"""What the mirror shows, counted while assembly reads the journal: signalling, calls and media by direction."""
