// A program that uses an MCP server over stdio through an official TypeScript SDK, in the era it is told to
// speak, and answers what the server asks: an elicitation with `blue`, a sampling with `sampled`, roots with one.
//
//   era_client.mjs --era v1|legacy|auto|2026-07-28 --calls '[["echo",{"message":"hi"}]]'
//                  [--subscribe URI] [--wait METHOD] [--read URI] -- authkeeper mcp NAME
//
// v1 is the SDK 1.x; the others are the SDK 2, without negotiation, with it, or pinned to a version.
// Prints one JSON line: {"server", "version", "tools", "calls": [text or {"error"}], "asked": [methods],
// "progress": n, "heard": [methods of notifications]}. `--wait` waits for such a notification (10 s).
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values: options, positionals: [command, ...args] } = parseArgs({
  allowPositionals: true,
  options: {
    era: { type: 'string' },
    calls: { type: 'string', default: '[]' },
    subscribe: { type: 'string' },
    wait: { type: 'string' },
    read: { type: 'string' },
  },
});
const NOTIFICATIONS = ['notifications/tools/list_changed', 'notifications/resources/updated', 'notifications/message'];
const said = { calls: [], asked: [], progress: 0, heard: [] };

const client = await makeClient();
await run();
process.stdout.write(`${JSON.stringify(said)}\n`);
await client.close();

async function makeClient() {
  const capabilities = { elicitation: {}, sampling: {}, roots: {} };
  const info = { name: 'era_client', version: '1.0.0' };
  if (options.era === 'v1') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
    const types = await import('@modelcontextprotocol/sdk/types.js');
    const client = new Client(info, { capabilities });
    answer((method, handler) => client.setRequestHandler(schemaOf(types, method), handler));
    hear((method, handler) => client.setNotificationHandler(schemaOf(types, method), handler));
    await client.connect(new StdioClientTransport({ command, args, stderr: 'inherit' }));
    return client;
  }
  const { Client } = await import('@modelcontextprotocol/client');
  const { StdioClientTransport } = await import('@modelcontextprotocol/client/stdio');
  const mode = ['legacy', 'auto'].includes(options.era) ? options.era : { pin: options.era };
  const client = new Client(info, { capabilities, versionNegotiation: { mode } });
  answer((method, handler) => client.setRequestHandler(method, handler));
  hear((method, handler) => client.setNotificationHandler(method, handler));
  await client.connect(new StdioClientTransport({ command, args, stderr: 'inherit' }));
  return client;
}

function schemaOf(types, method) {
  const schemas = Object.values(types).filter((schema) => schema?.shape?.method?.value === method);
  return schemas[0];
}

function answer(on) {
  const noted = (answer) => (request) => {
    said.asked.push(request.method);
    return answer(request);
  };
  on('elicitation/create', noted((request) => {
    const wanted = request.params.requestedSchema?.properties ?? {};
    const content = Object.fromEntries(Object.entries(wanted).filter(([, schema]) => schema.type === 'string' && !schema.format && !schema.enum && !schema.oneOf).map(([name]) => [name, 'blue']));
    return { action: 'accept', content };
  }));
  on('sampling/createMessage', noted(() => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'sampled' } })));
  on('roots/list', noted(() => ({ roots: [{ uri: 'file:///a', name: 'a' }] })));
}

function hear(on) {
  for (const method of NOTIFICATIONS) on(method, () => { said.heard.push(method); });
}

async function run() {
  said.server = client.getServerVersion()?.name;
  said.version = client.getNegotiatedProtocolVersion?.() ?? null;
  said.tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
  if (options.read) said.read = (await client.readResource({ uri: options.read })).contents[0].text ?? 'blob';
  if (options.subscribe) await subscribe(options.subscribe);
  for (const [name, given] of JSON.parse(options.calls)) said.calls.push(await call(name, given));
  for (let waited = 0; options.wait && !said.heard.includes(options.wait) && waited < 200; waited += 1) await sleep(50);
}

async function subscribe(uri) {
  const stateless = said.version >= '2026';
  if (stateless) await client.listen({ resourceSubscriptions: [uri], toolsListChanged: true });
  else await client.subscribeResource({ uri });
}

async function call(name, given) {
  const onprogress = () => { said.progress += 1; };
  try {
    const request = { name, arguments: given };
    const result = options.era === 'v1'
      ? await client.callTool(request, undefined, { onprogress })
      : await client.callTool(request, { onprogress });
    return result.content.map((block) => block.text).join('\n');
  } catch (error) {
    return { error: error.message, code: error.code };
  }
}
