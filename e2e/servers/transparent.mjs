// One MCP server behind a token, and every way to it that the conformance suite is sent along: see docs/transparency.md.
//
//   suite ─ add ─────────────────────────────── check ─ upstream     direct
//   suite ─ add ─ authkeeper serve /mcp/NAME ─── check ─ upstream     serve
//   suite ─ adapter ─ authkeeper mcp NAME ─────── check ─ upstream     bridge
//   suite ─ adapter ─ the upstream's server on stdio                   stdio
//
// The suite shows no credential, so a hop adds one, in all ways alike. `serve` and `bridge` are paired with `direct` and
// `stdio`: what the hop and the adapter do to a message, they do on both sides.
//
// Environment: UPSTREAM (sdk-v1, own-2025, own-2026, everything), TOKEN, EXIT_WITH_STDIN=1.
// The ready line on stdout: {"ready":true,"port":…,"mcp":…,"direct":…,"serve":…,"bridge":…,"stdio":…}; the port is that of
// `check`, which also answers /__ctl.
//
// GET /__ctl/…, answers in JSON:
//   serve?port=&path=&handle=     where `serve` leads
//   bridge?command=               a JSON array: what `bridge` starts; with environment= (a JSON object)
//   early401?n=                   the next n requests get 401 whatever they show
//   stats                         requests at `check`, by method and status
import { spawn } from 'node:child_process';
import { adapter } from './adapter.mjs';
import { hop, listening, portOf } from './hop.mjs';
import { stdioOf, upstreamOf } from './upstream.mjs';

const { UPSTREAM = 'own-2025', TOKEN = 'no-token' } = process.env;
const era = UPSTREAM === 'own-2026' ? '2026' : '2025';
const stats = {};
const started = new Set();
let early401 = 0;

const upstream = await upstreamOf(UPSTREAM);
const check = await listening(hop({ to: { port: upstream, path: '/mcp' }, before: demand, after: count }));
const here = portOf(check);
const direct = await listening(hop({ to: { port: here, path: '/mcp' }, add: `Bearer ${TOKEN}` }));
const through = { to: { port: 0, path: '/mcp/x' }, add: '' };
const serve = await listening(hop(through));
const bridged = { command: [], env: {} };
const bridge = await listening(adapter(era, () => start(bridged.command, bridged.env)));
const stdio = await listening(adapter(era, () => start([process.execPath, ...stdioOf(UPSTREAM)], process.env)));

if (process.env.EXIT_WITH_STDIN === '1') process.stdin.resume().on('end', () => process.exit(0));
const url = (server) => `http://127.0.0.1:${portOf(server)}/mcp`;
process.stdout.write(`${JSON.stringify({
  ready: true,
  port: here,
  mcp: url(check),
  direct: url(direct),
  serve: url(serve),
  bridge: url(bridge),
  stdio: stdioOf(UPSTREAM) && url(stdio),
})}\n`);

function start([program, ...words], env) {
  const child = spawn(program, words, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  started.add(child);
  child.once('exit', () => started.delete(child));
  return child;
}

process.on('exit', () => { for (const child of started) child.kill(); });

function demand(req, res) {
  const asked = new URL(req.url, 'http://localhost');
  if (asked.pathname.startsWith('/__ctl/')) return control(asked, res);
  if (early401 === 0 && req.headers.authorization === `Bearer ${TOKEN}`) {
    delete req.headers.authorization;
    return true;
  }
  early401 = Math.max(0, early401 - 1);
  count(req, 401);
  res.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end();
  return false;
}

function count(req, status) {
  const key = `${req.method} ${status}`;
  stats[key] = (stats[key] ?? 0) + 1;
}

function control(asked, res) {
  const get = (name) => asked.searchParams.get(name);
  const operations = {
    serve: () => {
      through.to = { port: Number(get('port')), path: get('path') };
      through.add = `Bearer ${get('handle')}`;
    },
    bridge: () => {
      bridged.command = JSON.parse(get('command'));
      bridged.env = JSON.parse(get('environment'));
    },
    early401: () => { early401 = Number(get('n')); },
    stats: () => stats,
  };
  const answer = operations[asked.pathname.slice('/__ctl/'.length)]?.() ?? { ok: true };
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  return false;
}
