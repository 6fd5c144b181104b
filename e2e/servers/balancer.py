"""haproxy as it is in front of several nodes of one server: round robin, and a cookie by which a session's requests come
back to the node that has the session.

Environment: NODES (the nodes' ports, comma-separated), EXIT_WITH_STDIN=1.
The ready line on stdout is one JSON object: {"ready":true,"issuer":…,"port":…,"mcp":…}.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request

HOST = "127.0.0.1"
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend clients
  bind fd@{listener}
  monitor-uri /__ready
  default_backend nodes
backend nodes
  balance roundrobin
  cookie SERVERID insert indirect nocache
{nodes}
"""


def main():
    nodes = "".join(
        f"  server n{number} {HOST}:{port} cookie n{number}\n"
        for number, port in enumerate(os.environ["NODES"].split(","))
    )
    listener = socket.create_server((HOST, 0))
    base = f"http://{HOST}:{listener.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "haproxy.cfg")
        file.write_text(HAPROXY.format(listener=listener.fileno(), nodes=nodes))
        haproxy = subprocess.Popen(["haproxy", "-db", "-f", file], pass_fds=[listener.fileno()], stdout=sys.stderr)
        # A connection waits in the socket until haproxy accepts it.
        urllib.request.urlopen(f"{base}/__ready", timeout=30).close()
    port = listener.getsockname()[1]
    print(json.dumps({"ready": True, "issuer": base, "port": port, "mcp": f"{base}/mcp"}), flush=True)
    if os.environ.get("EXIT_WITH_STDIN") == "1":
        threading.Thread(target=end_with_stdin, args=[haproxy], daemon=True).start()
    sys.exit(haproxy.wait())


def end_with_stdin(haproxy):
    sys.stdin.buffer.read()
    haproxy.kill()


if __name__ == "__main__":
    main()
