"""A program that uses an MCP server over stdio through the official Python SDK: one `echo` call
every so often, each answer verified.

    mcp_calls.py --seconds 60 --every 1.0 [--mode auto|legacy|2026-07-28] [--argument x]
                 -- authkeeper mcp NAME

Prints one JSON line: calls, ok, failed (each with its number, moment and error), the protocol
version spoken, the tools seen. Exit 1 if a call failed, 2 if there never was a session.

The SDK gives the server it starts only HOME, LOGNAME, PATH, SHELL, TERM and USER; --pass-env NAME
adds a variable, as the `env` of an MCP client's config would.
"""

import argparse
import asyncio
import json
import os
import sys
import time

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


def main():
    options = parse()
    summary = {"calls": 0, "ok": 0, "failed": [], "protocol_version": None, "tools": []}
    started = True
    try:
        asyncio.run(asyncio.wait_for(session(options, summary), options.seconds + options.patience))
    except Exception as error:  # whatever it was, the summary must say it
        started = summary["protocol_version"] is not None
        summary["failed"].append({"call": None, "error": describe(error)})
    print(json.dumps(summary), flush=True)
    sys.exit((1 if summary["failed"] else 0) if started else 2)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--mode", default="auto", help="auto, legacy or a modern version")
    parser.add_argument("--patience", type=float, default=60, help="seconds beyond --seconds")
    parser.add_argument("--call-timeout", type=float, default=30, help="seconds for one call")
    parser.add_argument("--argument", default="x", help="what echo calls what it is given")
    parser.add_argument("--pass-env", action="append", default=[], metavar="NAME")
    parser.add_argument("command", nargs="+", metavar="-- CMD ARGS")
    return parser.parse_args()


async def session(options, summary):
    command, *arguments = options.command
    environment = {name: os.environ[name] for name in options.pass_env if name in os.environ}
    server = StdioServerParameters(command=command, args=arguments, env=environment)
    async with Client(stdio_client(server), mode=options.mode) as client:
        summary["protocol_version"] = client.protocol_version
        summary["tools"] = sorted(tool.name for tool in (await client.list_tools()).tools)
        await call_until_the_end(client, options, summary)


async def call_until_the_end(client, options, summary):
    start = time.monotonic()
    number = 0
    while number * options.every < options.seconds:
        await asyncio.sleep(max(0.0, start + number * options.every - time.monotonic()))
        await call(client, number, time.monotonic() - start, options, summary)
        number += 1


async def call(client, number, at, options, summary):
    summary["calls"] += 1
    text = f"call {number}"
    try:
        # The SDK itself would wait for ever.
        with anyio.fail_after(options.call_timeout):
            result = await client.call_tool("echo", {options.argument: text})
        answer = result.content[0].text if result.content else None
        # Some answer `Echo: text`.
        if result.is_error or not str(answer).endswith(text):
            raise ValueError(f"expected {text!r}, got {answer!r}")
    except Exception as error:  # one failed call must not end the run
        summary["failed"].append({"call": number, "at": round(at, 3), "error": describe(error)})
    else:
        summary["ok"] += 1


def describe(error):
    """The innermost error: task groups wrap theirs."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
