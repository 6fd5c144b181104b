"""nginx with TLS before a server of another program, with the location block of docs/serve.md.

Environment: PORT (where it listens), UPSTREAM (the port of the server), LOCATION (the block), EXIT_WITH_STDIN=1.
The ready line: {"port": PORT, "ca": FILE}.
"""

import json
import os
import pathlib
import signal
import sys
import tempfile
import threading

from corporate_network import HOST, NGINX_HEAD, listens, make_certificates, start
from mtls_server import end_with_stdin

NGINX = NGINX_HEAD + """
  server {{
    listen {host}:{port} ssl;
    {location}
  }}
}}
"""


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port, location = int(os.environ["PORT"]), os.environ["LOCATION"].replace("8417", os.environ["UPSTREAM"])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_certificates(folder)
        config = NGINX.format(folder=folder, host=HOST, port=port, location=location)
        (folder / "nginx.conf").write_text(config)
        nginx = start(["nginx", "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"])
        try:
            if not listens(nginx, port):
                sys.exit(f"reverse_proxy: nginx does not listen on {port}")
            print(json.dumps({"port": port, "ca": str(folder / "ca.pem")}), flush=True)
            if os.environ.get("EXIT_WITH_STDIN") == "1":
                threading.Thread(target=end_with_stdin, daemon=True).start()
            nginx.wait()
        finally:
            nginx.terminate()
            nginx.wait()


if __name__ == "__main__":
    main()
