"""`python -m tests.bench`, which is `make bench`."""

import sys

from tests.bench.bench_import import main

sys.exit(main())
