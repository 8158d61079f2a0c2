"""What a crash must not take: the recorder is killed again and again under calls whose every sample is known."""
