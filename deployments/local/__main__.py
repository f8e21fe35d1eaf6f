"""python -m deployments.local --port 8000"""

import sys

from deployments.local.service import main

sys.exit(main())
