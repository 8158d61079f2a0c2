"""`python -m tests.bench.live`, which is `make bench-live`."""

import sys

from tests.bench.live.bench_live import main

sys.exit(main())
