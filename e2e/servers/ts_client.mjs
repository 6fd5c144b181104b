// A program that uses an MCP server over stdio through the official TypeScript SDK (1.x): lists the
// tools, then calls one a number of times.
//
//   ts_client.mjs --calls 5 --every 1000 --tool echo --arguments '{"x":"hi"}' -- authkeeper mcp NAME
//
// Prints JSON lines: {"connected":true,"server":…,"protocol_version":…}, {"tools":[…]}, one
// {"call":0,"ok":true,"text":…} or {"call":0,"ok":false,"error":…} each, {"done":true,"calls":…,
// "failed":…}. Exit 1 if a call failed, 2 if there never was a session.
//
// The SDK gives the server it starts only HOME, LOGNAME, PATH, SHELL, TERM and USER; --pass-env NAME
// adds a variable, as the `env` of an MCP client's config would.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport, getDefaultEnvironment } from '@modelcontextprotocol/sdk/client/stdio.js';

const { values: options, positionals: [command, ...args] } = parseArgs({
  allowPositionals: true,
  options: {
    calls: { type: 'string', default: '1' },
    every: { type: 'string', default: '0' },
    tool: { type: 'string', default: 'echo' },
    arguments: { type: 'string', default: '{"x":"hello"}' },
    'pass-env': { type: 'string', multiple: true, default: [] },
    'call-timeout': { type: 'string', default: '30000' },
  },
});

process.exitCode = await main();

async function main() {
  const client = new Client({ name: 'ts_client', version: '1.0.0' });
  let spoken = null;
  try {
    const transport = new StdioClientTransport({ command, args, env: environment(), stderr: 'inherit' });
    transport.setProtocolVersion = (version) => { spoken = version; };
    await client.connect(transport);
  } catch (error) {
    say({ connected: false, error: error.message });
    return 2;
  }
  say({ connected: true, server: client.getServerVersion(), protocol_version: spoken });
  const failed = await run(client);
  await client.close();
  return failed > 0 ? 1 : 0;
}

async function run(client) {
  const calls = Number(options.calls);
  let failed = 0;
  try {
    const { tools } = await client.listTools();
    say({ tools: tools.map((tool) => tool.name).sort() });
    for (let number = 0; number < calls; number += 1) {
      if (number > 0) await sleep(Number(options.every));
      if (!await call(client, number)) failed += 1;
    }
  } catch (error) {
    failed += 1;
    say({ error: error.message });
  }
  say({ done: true, calls, failed });
  return failed;
}

async function call(client, number) {
  try {
    const request = { name: options.tool, arguments: JSON.parse(options.arguments) };
    const timeout = { timeout: Number(options['call-timeout']) };
    const result = await client.callTool(request, undefined, timeout);
    const text = result.content?.[0]?.text ?? null;
    say({ call: number, ok: !result.isError, text });
    return !result.isError;
  } catch (error) {
    say({ call: number, ok: false, error: error.message });
    return false;
  }
}

function environment() {
  const passed = options['pass-env'].filter((name) => name in process.env);
  return { ...getDefaultEnvironment(), ...Object.fromEntries(passed.map((name) => [name, process.env[name]])) };
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
