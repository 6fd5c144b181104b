#!/usr/bin/env bash
# The main job in about a minute: connect once, then an unattended run outlives five tokens of a real MCP server.
# Everything stays on this machine, in a temporary home that is removed at the end.
set -euo pipefail
cd "$(dirname "$0")"
for tool in cargo node npm python3; do
    command -v "$tool" >/dev/null || { echo "demo.sh needs $tool; install it first" >&2; exit 69; }
done
echo "1/3  installing the real MCP server (FastMCP) into .servers/ …" >&2
e2e/servers/install.sh >&2
echo "2/3  building authkeeper …" >&2
cargo build --quiet -p authkeeper-cli
echo "3/3  the demo" >&2
exec .servers/venv/bin/python e2e/demo.py target/debug/authkeeper
