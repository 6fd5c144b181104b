"""The main job, shown on a real MCP server: FastMCP with OAuth, tokens that live five seconds.

Every claim printed at the end is compared with the server's own counters; with refreshing broken this exits with 1.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SERVERS = HERE / "servers"
PYTHON = sys.executable
RUN_SECONDS = 24


def say(text=""):
    print(text, flush=True)


def start_server():
    """FastMCP ends by itself when our end of its standard input closes."""
    environment = {**os.environ, "PORT": "0", "AT_TTL": "5", "RT_TTL": "300", "EXIT_WITH_STDIN": "1"}
    server = subprocess.Popen(
        [PYTHON, str(SERVERS / "fastmcp_server.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
    )
    line = server.stdout.readline()
    if not line:
        sys.exit("the MCP server did not start; run e2e/servers/install.sh and look at its output")
    return server, json.loads(line)["port"]


def control(port, what):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/__ctl/{what}", timeout=10) as answer:
        return json.load(answer)


def presented(port, state):
    return sum(1 for entry in control(port, "presented") if entry["state"] == state)


def refreshes(port):
    return control(port, "stats")["outcomes"].get("refresh_token 200", 0)


def shell(command, home, quiet=False):
    say(f"\n$ {' '.join(command).replace(str(HERE.parent) + '/', '').replace(PYTHON, 'python')}")
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "BROWSER": f"{PYTHON} {SERVERS / 'browser.py'}"}
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in (done.stderr + done.stdout).splitlines():
        if line.strip() and not (quiet and line.startswith(" ")):
            say(f"  {line}")
    return done


def main():
    authkeeper = str((HERE.parent / sys.argv[1]).resolve())
    server, port = start_server()
    with tempfile.TemporaryDirectory() as home:
        try:
            return show(authkeeper, port, home)
        finally:
            server.stdin.close()
            server.wait(timeout=20)


def show(authkeeper, port, home):
    say(f"A real MCP server runs on 127.0.0.1:{port}. Its access tokens live 5 seconds.")
    say("Presenting an expired one even once would destroy the refresh token.")
    say("\n— Sign in once (here a scripted browser stands for the person) —")
    shell([authkeeper, "connect", "demo", f"http://127.0.0.1:{port}/mcp"], home, quiet=True)
    shell([authkeeper, "status"], home)

    say(f"\n— An unattended run: a tool call a second for {RUN_SECONDS} seconds, by the official Python SDK —")
    before = refreshes(port)
    calls = [PYTHON, str(SERVERS / "mcp_calls.py"), "--seconds", str(RUN_SECONDS), "--every", "1"]
    done = shell([authkeeper, "run", "--with", "demo", "--", *calls, "--", authkeeper, "mcp", "demo"], home)
    outlived, expired = refreshes(port) - before, presented(port, "expired")

    say("\n— Someone revokes the grant at the provider; the next run —")
    control(port, "revoke")
    lost = shell([authkeeper, "run", "--with", "demo", "--", *calls, "--", authkeeper, "mcp", "demo"], home)

    say("\n— What the server counted —")
    claims = [
        (done.returncode == 0, "the run ended well"),
        (outlived >= 5, f"it outlived {outlived} access tokens"),
        (expired == 0, f"{expired} expired tokens were presented"),
        (lost.returncode == 75, f"without authority the run said so: exit code {lost.returncode}"),
    ]
    for holds, claim in claims:
        say(f"  {'✓' if holds else '✗'} {claim}")
    return 0 if all(holds for holds, _ in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
