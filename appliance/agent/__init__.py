"""`rokubox-agent`: looks at the box, decides what is wrong, tells the NOC. Never touches packets or speech."""
