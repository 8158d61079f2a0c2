"""`rokubox-upload`: deliveries to targets, and what the archive's owner is asked because of them."""
