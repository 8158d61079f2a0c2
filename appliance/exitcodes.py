"""Exit codes by class, as contracts have them."""

OK, INTERNAL, USAGE, INPUT, OUTPUT, PERMISSION, TOOL = 0, 1, 2, 3, 4, 5, 6
