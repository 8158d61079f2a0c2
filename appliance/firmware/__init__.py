"""The box's own software: two slots, signed bundles, a trial for what is new, and the way back."""
