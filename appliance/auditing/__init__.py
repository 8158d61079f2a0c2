"""`rokubox audit`: our account of a capture held against tshark's."""
