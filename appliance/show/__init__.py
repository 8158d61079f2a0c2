"""One call, shown: found in an archive, told as text, drawn as a picture."""
