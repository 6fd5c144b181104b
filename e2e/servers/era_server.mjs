// MCP servers that speak one era each, behind a front that wants a key, counts, and can take one era away.
//
// ERA=new   a server of the TypeScript SDK 2 for 2026-07-28 and nothing older (`legacy: 'reject'`)
// ERA=old   @modelcontextprotocol/server-everything as it is: sessions, 2025-11-25 and older
//
// Environment: KEY (what `Authorization: Bearer` must hold), EXIT_WITH_STDIN=1.
// The ready line on stdout is one JSON object: {"ready":true,"issuer":…,"port":…,"mcp":…}.
//
// GET /__ctl/stats    {"methods": {"tools/call": 2, "GET": 1, …}, "answers": {"400": 1, …},
//                     "params": how many calls carried Mcp-Param headers}
// GET /__ctl/issued   the key: [{kind, value}]
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const HOST = '127.0.0.1';
const ledger = { methods: {}, answers: {}, params: 0 };
const { listen } = http.Server.prototype;
const front = http.createServer(serve);
await new Promise((done) => listen.call(front, 0, HOST, done));
const { port } = front.address();
const handle = process.env.ERA === 'new' ? await newServer() : await oldServer();

if (process.env.EXIT_WITH_STDIN === '1') {
  process.stdin.resume().on('end', () => process.exit(0));
}
process.stdout.write(`${JSON.stringify({
  ready: true,
  issuer: `http://${HOST}:${port}`,
  port,
  mcp: `http://${HOST}:${port}/mcp`,
})}\n`);

function serve(req, res) {
  const url = new URL(req.url, `http://${HOST}`);
  if (url.pathname.startsWith('/__ctl/')) return control(url, res);
  if (req.headers.authorization !== `Bearer ${process.env.KEY}`) {
    return res.writeHead(401).end();
  }
  res.on('finish', () => count(ledger.answers, res.statusCode));
  readInPassing(req);
  return handle(req, res);
}

// Listening to `data` would take the body away from a server that reads it later.
function readInPassing(req) {
  const parts = [];
  const { push } = req;
  req.push = function keepCopy(part, ...rest) {
    if (part) parts.push(part);
    else note(req, Buffer.concat(parts).toString());
    return push.call(this, part, ...rest);
  };
}

function note(req, body) {
  const method = body ? JSON.parse(body).method ?? 'response' : req.method;
  count(ledger.methods, method);
  if (Object.keys(req.headers).some((name) => name.startsWith('mcp-param-'))) ledger.params += 1;
}

function count(table, key) {
  table[key] = (table[key] ?? 0) + 1;
}

function control(url, res) {
  const issued = [{ kind: 'api_key', value: process.env.KEY }];
  res.writeHead(200, { 'content-type': 'application/json' });
  res.end(JSON.stringify(url.pathname === '/__ctl/issued' ? issued : ledger));
}

async function newServer() {
  const { createMcpHandler, inputRequired, McpServer } = await import('@modelcontextprotocol/server');
  const { toNodeHandler } = await import('@modelcontextprotocol/node');
  const { z } = await import('zod');
  const text = (said) => ({ content: [{ type: 'text', text: said }] });
  const yes = { type: 'object', properties: { color: { type: 'string' } }, required: ['color'] };
  const handler = createMcpHandler(() => {
    const server = new McpServer(
      { name: 'only-new', version: '1.0.0' },
      { capabilities: { logging: {}, tools: { listChanged: true }, resources: { listChanged: true, subscribe: true } } },
    );
    const message = z.string().meta({ 'x-mcp-header': 'Message' });
    server.registerTool('echo', { inputSchema: z.object({ message }) }, ({ message: said }) => text(`Echo: ${said}`));
    server.registerTool('ask', { inputSchema: z.object({}) }, (_args, ctx) => {
      const color = ctx.mcpReq.inputResponses?.color?.content?.color;
      if (color) return text(`the color is ${color}`);
      return inputRequired({
        inputRequests: { color: inputRequired.elicit({ message: 'Which color?', requestedSchema: yes }) },
        requestState: 'asked for a color: ü',
      });
    });
    server.registerTool('progress', { inputSchema: z.object({}) }, async (_args, ctx) => {
      const progressToken = ctx.mcpReq._meta?.progressToken;
      for (let progress = 1; progress <= 3; progress += 1) {
        await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 3 } });
        // The SDK 1.x loses progress that comes in one breath with the answer.
        await sleep(20);
      }
      return text('three steps');
    });
    server.registerTool('change', { inputSchema: z.object({}) }, () => {
      handler.notify.toolsChanged();
      handler.notify.resourceUpdated('test://a');
      return text('changed');
    });
    server.registerResource('a', 'test://a', {}, () => ({ contents: [{ uri: 'test://a', text: 'A' }] }));
    return server;
  }, { legacy: 'reject' });
  return toNodeHandler(handler);
}

async function oldServer() {
  console.log = console.error;
  const found = new Promise((take) => {
    http.Server.prototype.listen = function listenBehindFront(...rest) {
      take(this);
      rest.findLast((argument) => typeof argument === 'function')?.();
      return this;
    };
  });
  await import('@modelcontextprotocol/server-everything/dist/transports/streamableHttp.js');
  const server = await found;
  return (req, res) => server.emit('request', req, res);
}
