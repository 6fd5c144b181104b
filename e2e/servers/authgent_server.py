"""A real authorization server for the tests: authgent-server, configured and nothing more, behind a
front that counts and records (front.py: environment, ready line and /__ctl).

Refresh tokens rotate in families: a replay ends the family. Every client registers itself and is given
a secret, also one that asked for none; revocation is refused without it, and ends access tokens only.
It has no protected resource of its own; introspection asks nobody who they are.

Environment besides front.py's: AT_TTL, RT_TTL (seconds).

GET /__ctl/…:
  revoke    an administrator ends all grants, in the database: the software has no command for it
"""

import os
import secrets
import sqlite3
import sys

import front


def main():
    front.serve(Authgent)


class Authgent(front.Server):
    metadata_path = "/.well-known/oauth-authorization-server"

    def __init__(self, folder, base):
        super().__init__(folder, base)
        self.database = os.path.join(folder, "authgent.db")

    def command(self):
        lifetime = os.environ.get("AT_TTL", "60")
        settings = {
            "SECRET_KEY": secrets.token_hex(32),
            "SERVER_URL": self.base,
            "DATABASE_URL": f"sqlite+aiosqlite:///{self.database}",
            "ACCESS_TOKEN_TTL": lifetime,
            "AUTH_CODE_ACCESS_TTL": lifetime,
            "CLIENT_CREDENTIALS_TTL": lifetime,
            "REFRESH_TOKEN_TTL": os.environ.get("RT_TTL", "3600"),
            "CONSENT_MODE": "ui",
            "TOKEN_RATE_LIMIT": "10000",
            "REGISTER_RATE_LIMIT": "10000",
        }
        environment = {f"AUTHGENT_{name}": value for name, value in settings.items()}
        app = ["--factory", "authgent_server.app:create_app", "--uds", self.socket]
        arguments = [sys.executable, "-m", "uvicorn", *app, "--log-level", "warning"]
        return arguments, os.environ | environment

    def ready(self):
        return {"api": f"{self.base}/api"}

    def do_revoke(self, _):
        with sqlite3.connect(self.database, timeout=20) as database:
            return {"revoked": database.execute("DELETE FROM refresh_tokens").rowcount}


if __name__ == "__main__":
    main()
