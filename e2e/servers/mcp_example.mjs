// The TypeScript MCP SDK's own example, `simpleStreamableHttp.js --oauth`: an MCP server and its
// authorization server (demoInMemoryOAuthProvider.js) on a port of its own, both as they are.
//
// The example wants fixed ports and listens on every interface. Here each of its servers is put
// behind a front that holds a port of the system's choice on the loopback, counts and records.
// The example names itself `http://localhost:PORT`, so its clients must too. Access tokens live for
// an hour and there are no refresh tokens; every client must register itself. A token that it does
// not know gets 500, not 401.
//
// Environment: EXIT_WITH_STDIN=1.
// The ready line on stdout is one JSON object: {"ready":true,"issuer":…,"port":…,"mcp":…}; the port
// is the MCP server's, which also answers /__ctl.
//
// GET /__ctl/…, answers in JSON:
//   stats          token requests by grant type: received; outcomes ("authorization_code 200");
//                  requests, by method and path
//   issued         every secret so far: [{kind, value}]
//   early401?n=    the next n requests at /mcp reach the example without their token: its own 401
import http from 'node:http';

const HOST = '127.0.0.1';
const SECRET_FIELDS = ['access_token', 'refresh_token', 'client_secret'];
const ledger = { issued: new Map(), requests: {}, received: {}, outcomes: {} };
let early401 = 0;

const fronts = { mcp: await front(), auth: await front() };
const ports = { mcp: portOf(fronts.mcp), auth: portOf(fronts.auth) };
const listening = Promise.all(Object.values(fronts).map((held) => held.taken));

// `listen` on a port that is held hands the example's requests over to it.
const { listen } = http.Server.prototype;
http.Server.prototype.listen = function listenBehindFront(port, ...rest) {
  const held = Object.values(fronts).find((candidate) => portOf(candidate) === Number(port));
  if (!held) return listen.call(this, port, ...rest);
  held.example = this;
  held.take();
  rest.findLast((argument) => typeof argument === 'function')?.();
  return this;
};

// Standard output is for the ready line.
console.log = console.error;
process.argv.push('--oauth');
process.env.MCP_PORT = String(ports.mcp);
process.env.MCP_AUTH_PORT = String(ports.auth);
await import('@modelcontextprotocol/sdk/examples/server/simpleStreamableHttp.js');
await listening;
if (process.env.EXIT_WITH_STDIN === '1') {
  process.stdin.resume().on('end', () => process.exit(0));
}
process.stdout.write(`${JSON.stringify({
  ready: true,
  issuer: `http://localhost:${ports.auth}/`,
  port: ports.mcp,
  mcp: `http://localhost:${ports.mcp}/mcp`,
})}\n`);

async function front() {
  const server = http.createServer((req, res) => serve(held, req, res));
  await new Promise((done) => server.listen(0, HOST, done));
  const held = { server, example: null };
  held.taken = new Promise((take) => { held.take = take; });
  return held;
}

function portOf(held) {
  return held.server.address().port;
}

function serve(held, req, res) {
  const url = new URL(req.url, 'http://localhost');
  if (url.pathname.startsWith('/__ctl/')) return control(url, res);
  count(ledger.requests, `${req.method} ${url.pathname}`);
  if (url.pathname === '/authorize') remember('state', url.searchParams.get('state'));
  if (url.pathname === '/mcp' && early401 > 0) {
    early401 -= 1;
    delete req.headers.authorization;
  }
  watch(url, req, res);
  held.example.emit('request', req, res);
}

// Reads in passing what the example is asked and what it answers.
function watch(url, req, res) {
  if (!['/token', '/register', '/authorize'].includes(url.pathname)) return;
  const asked = [];
  const answered = [];
  req.on('data', (chunk) => asked.push(chunk));
  for (const name of ['write', 'end']) {
    const original = res[name];
    res[name] = function keepCopy(chunk, ...rest) {
      if (chunk && typeof chunk !== 'function') answered.push(Buffer.from(chunk));
      return original.call(this, chunk, ...rest);
    };
  }
  res.on('finish', () => note(url, Buffer.concat(asked), res, Buffer.concat(answered)));
}

function note(url, asked, res, answered) {
  const form = new URLSearchParams(asked.toString());
  if (url.pathname === '/token') {
    const grant = form.get('grant_type') ?? 'none';
    count(ledger.received, grant);
    count(ledger.outcomes, `${grant} ${res.statusCode}`);
  }
  remember('code_verifier', form.get('code_verifier'));
  const location = res.getHeader('location');
  if (location) remember('code', new URL(location, 'http://localhost').searchParams.get('code'));
  if (!String(res.getHeader('content-type')).startsWith('application/json')) return;
  const json = JSON.parse(answered.toString() || 'null');
  for (const field of SECRET_FIELDS) remember(field, json?.[field]);
}

function remember(kind, value) {
  if (value) ledger.issued.set(value, { kind, value });
}

function count(table, key) {
  table[key] = (table[key] ?? 0) + 1;
}

function control(url, res) {
  const operations = {
    stats: () => ({ received: ledger.received, outcomes: ledger.outcomes, requests: ledger.requests }),
    issued: () => [...ledger.issued.values()],
    early401: () => { early401 = Number(url.searchParams.get('n') ?? 1); return { ok: true }; },
  };
  const operation = operations[url.pathname.slice('/__ctl/'.length)];
  res.writeHead(operation ? 200 : 404, { 'content-type': 'application/json' });
  res.end(JSON.stringify(operation ? operation() : { error: 'no such operation' }));
}
