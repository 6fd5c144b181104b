"""Receivers of notifications that check what they get as their documentation says: an SMTP server (aiosmtpd, RFC 5321 with AUTH),
Slack's incoming webhooks, and ntfy's publishing API.

Environment: USER and PASSWORD of the mail account, TOKEN of the ntfy topic, PORT (0: the system chooses), EXIT_WITH_STDIN=1.
The ready line on stdout is one JSON object: {"ready":true,"port":…,"smtp_port":…}.

GET /__ctl/messages   everything that was taken or refused: [{by, problem, …}]; problem is null for what is as documented
"""

import email
import email.policy
import email.utils
import json
import os
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

MESSAGES = []

# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/
SLACK_PATH = re.compile(r"/services/T\w+/B\w+/\w+")
SLACK_FIELDS = {"text", "blocks", "attachments", "thread_ts", "mrkdwn", "unfurl_links", "unfurl_media"}
SLACK_LONGEST = 40_000

# https://docs.ntfy.sh/publish/#publish-as-json
NTFY_FIELDS = {
    "topic", "message", "title", "tags", "priority", "actions", "click", "attach", "markdown", "icon", "filename", "delay",
    "email", "call",
}
NTFY_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")
NTFY_LONGEST = 4_096


def slack_problem(path, kind, body):
    if not SLACK_PATH.fullmatch(path):
        return f"no_service: {path}"
    if kind != "application/json" or not isinstance(body, dict):
        return "invalid_payload"
    if not set(body) <= SLACK_FIELDS:
        return f"unknown fields: {set(body) - SLACK_FIELDS}"
    text = body.get("text")
    if not isinstance(text, str) or not text.strip():
        return "no_text"
    if len(text) > SLACK_LONGEST:
        return "msg_too_long"
    # <, > and & are control characters; what is no control sequence has to be escaped.
    if "<" in text or ">" in text or re.search(r"&(?!amp;|lt;|gt;)", text):
        return "unescaped control characters"
    return None


def ntfy_problem(path, headers, body):
    if headers["authorization"] != f"Bearer {os.environ['TOKEN']}":
        return "forbidden"
    if path != "/" or not isinstance(body, dict):
        return "JSON is published at the root"
    if not set(body) <= NTFY_FIELDS:
        return f"unknown fields: {set(body) - NTFY_FIELDS}"
    checks = {
        "topic": isinstance(body.get("topic"), str) and NTFY_TOPIC.fullmatch(body["topic"]),
        "message": isinstance(body.get("message"), str) and len(body["message"].encode()) <= NTFY_LONGEST,
        "title": isinstance(body.get("title", ""), str),
        "priority": body.get("priority", 3) in (1, 2, 3, 4, 5),
        "tags": all(isinstance(tag, str) for tag in body.get("tags", [])),
        "click": re.match(r"https?://", body.get("click", "https://")),
    }
    return next((f"bad {name}" for name, good in checks.items() if not good), None)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        data = self.rfile.read(int(self.headers["content-length"]))
        try:
            body = json.loads(data)
        except ValueError:
            body = None
        if self.path.startswith("/services/"):
            problem = slack_problem(self.path, self.headers["content-type"], body)
            MESSAGES.append({"by": "slack", "problem": problem, "body": body})
            self.reply(400 if problem else 200, (problem or "ok").encode(), "text/plain")
            return
        problem = ntfy_problem(self.path, self.headers, body)
        MESSAGES.append({"by": "ntfy", "problem": problem, "body": body})
        published = {"id": "m1", "time": 0, "event": "message"} | (body if isinstance(body, dict) else {})
        answer = {"code": 40000, "http": 400, "error": problem} if problem else published
        self.reply(400 if problem else 200, json.dumps(answer).encode(), "application/json")

    def do_GET(self):
        self.reply(200, json.dumps(MESSAGES).encode(), "application/json")

    def reply(self, status, body, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


def mail_problem(envelope, mail):
    for header in ("From", "To", "Subject", "Date"):
        if len(mail.get_all(header, [])) != 1:
            return f"{header} is there {len(mail.get_all(header, []))} times"
    if mail.defects:
        return f"{mail.defects}"
    if email.utils.parsedate_to_datetime(mail["Date"]) is None:
        return "bad Date"
    if mail["To"].addresses[0].addr_spec not in envelope.rcpt_tos:
        return "To is another than the envelope's"
    if any(len(line) > 998 for line in envelope.content.split(b"\r\n")):
        return "a line is longer than 998 octets"
    if b"\n" in envelope.content.replace(b"\r\n", b""):
        return "a line ends without CR"
    return None


class Mailbox:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        MESSAGES.append(
            {
                "by": "mail",
                "problem": mail_problem(envelope, mail),
                "login": session.auth_data.decode() if session.auth_data else None,
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "subject": mail["Subject"],
                "text": mail.get_content(),
            }
        )
        return "250 OK"


def login(_server, _session, _envelope, _mechanism, data):
    if not isinstance(data, LoginPassword):
        return AuthResult(success=False)
    right = (os.environ["USER"].encode(), os.environ["PASSWORD"].encode())
    return AuthResult(success=(data.login, data.password) == right, auth_data=data.login)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    smtp_port = free_port()
    mailbox = Controller(
        Mailbox(),
        hostname="127.0.0.1",
        port=smtp_port,
        authenticator=login,
        auth_required=True,
        auth_require_tls=False,
    )
    mailbox.start()
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Receiver)
    server.daemon_threads = True
    if os.environ.get("EXIT_WITH_STDIN") == "1":
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    ready = {"ready": True, "port": server.server_address[1], "smtp_port": smtp_port}
    print(json.dumps(ready), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
