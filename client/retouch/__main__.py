"""`python -m retouch`."""

import sys

from retouch.cli.main import main

sys.exit(main())
