#!/usr/bin/env python3
"""A browser in a network with a proxy: `$BROWSER URL` follows redirects to the client's loopback page. For servers that
approve by themselves. Proxy and certificates are those of its environment, as of any program. Standard library only."""

import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=30) as page:
    page.read()
