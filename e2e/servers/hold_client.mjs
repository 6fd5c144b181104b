// A program that uses an MCP server through the official TypeScript SDK (2.x), one step for each line on its standard
// input: `call` calls a tool, `cancel` gives up the call under way, the end of input ends the session. The server is started
// on stdio, or called over HTTP.
//
//   hold_client.mjs [--tool echo] [--arguments '{"x":"hi"}'] -- authkeeper mcp NAME
//   hold_client.mjs --url URL --handle HANDLE
//
// Prints JSON lines: {"connected":true}, for each call {"progress":…,"message":…} as often as it comes, then
// {"call":"ok","text":…}, {"call":"is_error","text":…}, {"call":"error","type":…,"message":…,"code":…,"data":…} or
// {"call":"cancelled"}, and {"done":true}.
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport, getDefaultEnvironment } from '@modelcontextprotocol/client/stdio';

const { values: options, positionals: [command, ...args] } = parseArgs({
  allowPositionals: true,
  options: {
    tool: { type: 'string', default: 'echo' },
    arguments: { type: 'string', default: '{"x":"hi"}' },
    url: { type: 'string' },
    handle: { type: 'string' },
  },
});

const client = new Client({ name: 'hold_client', version: '1.0.0' });
const headers = { authorization: `Bearer ${options.handle}` };
await client.connect(options.url
  ? new StreamableHTTPClientTransport(new URL(options.url), { requestInit: { headers } })
  : new StdioClientTransport({ command, args, env: getDefaultEnvironment(), stderr: 'inherit' }));
say({ connected: true });
let abort = new AbortController();
const calls = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === 'cancel') {
    abort.abort('given up');
  } else if (line.trim()) {
    abort = new AbortController();
    calls.push(call(abort.signal));
  }
}
await Promise.all(calls);
await client.close();
say({ done: true });

async function call(signal) {
  const request = { name: options.tool, arguments: JSON.parse(options.arguments) };
  const onprogress = ({ progress, message }) => say({ progress, message });
  try {
    const result = await client.callTool(request, { signal, onprogress, timeout: 120_000 });
    say({ call: result.isError ? 'is_error' : 'ok', text: result.content?.[0]?.text ?? null });
  } catch (error) {
    if (signal.aborted) return say({ call: 'cancelled' });
    const { code, data } = error;
    say({ call: 'error', type: error.constructor.name, message: error.message, code, data });
  }
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
