"""The end-to-end self-test: a known call through the real capture path, and its audio compared sample by sample."""
