// Streamable HTTP over a stdio MCP server, from the SDK's own transports: messages pass as they are.
//
// 2025: one process a session; what it says on its own belongs to the request whose progress token it names, else to the
// only request that waits, else to the session's own stream. 2026: a process has one request at a time, and all that it
// says belongs to that. One process is started ahead.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { NodeStreamableHTTPServerTransport, localhostHostValidation } from '@modelcontextprotocol/node';
import { PerRequestHTTPServerTransport, classifyInboundRequest, isInitializeRequest } from '@modelcontextprotocol/server';

const validateHost = localhostHostValidation();

// `spawned` starts the stdio server.
export function adapter(era, spawned) {
  const sessions = new Map();
  let ahead;
  const start = () => {
    const child = ahead ?? spawned();
    ahead = spawned();
    ahead.once('exit', () => { ahead = undefined; });
    return child;
  };
  const serve = era === '2026' ? (req, body, res) => perRequest(start, req, body, res) : (req, body, res) => perSession(sessions, start, req, body, res);
  return http.createServer(async (req, res) => {
    if (!validateHost(req, res)) return;
    const body = await read(req);
    try {
      const answer = await serve(req, body, res);
      if (answer) await write(answer, res);
    } catch (error) {
      process.stderr.write(`adapter: ${error.stack}\n`);
      if (!res.headersSent) res.writeHead(500).end();
    }
  });
}

async function perSession(sessions, start, req, body, res) {
  const id = req.headers['mcp-session-id'];
  const message = parsed(body);
  let transport = sessions.get(id);
  if (!transport && id) return refusal(404, 'Session not found');
  if (!transport && !isInitializeRequest(message)) return refusal(400, 'No session');
  if (!transport) {
    transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (given) => sessions.set(given, transport),
      onsessionclosed: (given) => sessions.delete(given),
    });
    join(transport, start());
    await transport.start();
  }
  await transport.handleRequest(req, res, message);
}

function join(transport, child) {
  const waiting = new Map();
  lines(child, (message) => {
    if (message.method === undefined) waiting.delete(message.id);
    const token = message.params?.progressToken;
    const named = [...waiting].find(([, asked]) => token !== undefined && asked === token);
    const related = named ?? (waiting.size === 1 ? [...waiting][0] : undefined);
    const own = message.method === undefined ? {} : { relatedRequestId: related?.[0] };
    transport.send(message, own).catch(() => {});
  });
  transport.onmessage = (message) => {
    if (message.id !== undefined && message.method) waiting.set(message.id, message.params?._meta?.progressToken);
    tell(child, message);
  };
  transport.onclose = () => child.stdin.end();
}

const idle = new Map();

function employed(child) {
  const worker = { child, hears() {} };
  lines(child, (said) => worker.hears(said));
  return worker;
}

async function perRequest(start, req, body, res) {
  const url = `http://${req.headers.host}${req.url}`;
  const headers = new Headers(Object.entries(req.headers).map(([name, value]) => [name, String(value)]));
  const bodyless = ['GET', 'HEAD'].includes(req.method);
  const request = new Request(url, { method: req.method, headers, ...(bodyless ? {} : { body }) });
  const message = parsed(body);
  const outcome = classifyInboundRequest({ httpMethod: req.method, protocolVersionHeader: headers.get('mcp-protocol-version') ?? undefined, mcpMethodHeader: headers.get('mcp-method') ?? undefined, mcpNameHeader: headers.get('mcp-name') ?? undefined, body: message });
  if (outcome.kind !== 'modern') return rejected(outcome, message);
  const transport = new PerRequestHTTPServerTransport({ classification: outcome.classification });
  const worker = idle.get(start)?.pop() ?? employed(start());
  let answered = false;
  worker.hears = (said) => {
    transport.send(said, { relatedRequestId: message.id }).catch(() => {});
    if (said.id !== message.id || said.method) return;
    answered = true;
    idle.set(start, [...(idle.get(start) ?? []), worker]);
  };
  const stop = () => { if (!answered) worker.child.kill(); };
  transport.onmessage = (asked) => tell(worker.child, asked);
  transport.onclose = stop;
  res.on('close', () => { if (!answered) transport.close().catch(() => {}); stop(); });
  await transport.start();
  return transport.handleMessage(message, { request });
}

function rejected(outcome, message) {
  const { httpStatus = 400, code = -32600, message: text = 'Not a request of this era', data } = outcome;
  return Response.json({ jsonrpc: '2.0', id: message?.id ?? null, error: { code, message: text, data } }, { status: httpStatus });
}

function refusal(status, text) {
  return Response.json({ jsonrpc: '2.0', id: null, error: { code: -32000, message: text } }, { status });
}

function lines(child, each) {
  let rest = '';
  child.on('error', (error) => process.stderr.write(`adapter: ${error}\n`));
  child.stdin.on('error', () => {});
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const all = (rest + text).split('\n');
    rest = all.pop();
    for (const line of all) each(JSON.parse(line));
  });
}

function tell(child, message) {
  child.stdin.write(`${JSON.stringify(message)}\n`);
}

async function read(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parsed(body) {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

async function write(answer, res) {
  res.writeHead(answer.status, Object.fromEntries(answer.headers));
  res.flushHeaders();
  if (answer.body) for await (const chunk of answer.body) res.write(chunk);
  res.end();
}
