"""A receiver of signed webhooks that checks what it gets as Standard Webhooks 1.0 says, and answers as it is told to.
Standard library only.

Environment: SECRET (whsec_…), PORT (0: the system chooses), EXIT_WITH_STDIN=1.
The ready line on stdout is one JSON object: {"ready":true,"port":…}.

GET /__ctl/messages   every POST so far: [{path, id, verified, type, record, status}]
GET /__ctl/answer?status=503&times=2&seconds=0   how the next ones are answered, and after how long
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MESSAGES = []
ODD = {"times": 0, "status": 204, "seconds": 0.0}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        odd = ODD["times"] > 0
        ODD["times"] -= odd
        status = ODD["status"] if odd else 204
        MESSAGES.append(
            {
                "path": self.path,
                "id": self.headers["webhook-id"],
                "verified": verified(self.headers, body),
                "type": self.headers["content-type"],
                "record": json.loads(body),
                "status": status,
            }
        )
        time.sleep(ODD["seconds"] if odd else 0)
        self.send_response(status)
        self.end_headers()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/__ctl/answer":
            query = dict(urllib.parse.parse_qsl(url.query))
            ODD.update(
                times=int(query.get("times", "1")),
                status=int(query.get("status", "204")),
                seconds=float(query.get("seconds", "0")),
            )
        answer = json.dumps(MESSAGES).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments):
        pass


def verified(headers, body):
    """The signature is one of those in the header, and the timestamp is of these five minutes."""
    stamp = headers["webhook-timestamp"]
    if abs(time.time() - int(stamp)) > 300:
        return False
    key = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(one, right) for one in headers["webhook-signature"].split())


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Receiver)
    server.daemon_threads = True
    if os.environ.get("EXIT_WITH_STDIN") == "1":
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    print(json.dumps({"ready": True, "port": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
