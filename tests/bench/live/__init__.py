"""What live recording costs: a fast sender, a mirror port made for it, and the recorder watched from outside."""
