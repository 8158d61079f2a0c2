"""Generated traffic: what a SPAN port would have shown of calls whose every sample is known."""
