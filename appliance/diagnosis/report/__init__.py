"""What is handed to a carrier or a customer: the result of isolating a fault, and the conformance pack, signed."""
