"""What the software of a box consists of: every package with version and licence, as CycloneDX 1.5 (ECMA-424)."""
