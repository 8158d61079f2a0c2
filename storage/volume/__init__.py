"""The disk under the archive: which one it is, its room, its health, how fast it takes what is written."""
