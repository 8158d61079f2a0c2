"""The commands of `rokubox`, a module each: `add` declares its arguments, and what it runs stands beside it."""
