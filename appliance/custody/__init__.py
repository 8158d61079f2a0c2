"""What people and rules change in an archive: erasures, holds, retention, and who asked for it."""
