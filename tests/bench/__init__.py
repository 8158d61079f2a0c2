"""What the product costs, measured beside the tools that do a part of its job."""
