// A reverse proxy that changes as little as it can: where a request goes, and who sends it.
import http from 'node:http';

const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding'];

// `settings` is read at each request: {to: {port, path}, add: "Bearer …", before(req, res): go on?, after(req, status)}.
export function hop(settings) {
  return http.createServer((req, res) => {
    if (settings.before && !settings.before(req, res)) return;
    forward(settings, req, res);
  });
}

export async function listening(server) {
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

export function portOf(server) {
  return server.address().port;
}

function forward({ to, add, after }, req, res) {
  const headers = crossing(req.rawHeaders);
  if (add) replace(headers, 'authorization', add);
  // A request that names this hop means the server behind it; another name is passed on, for the server to refuse.
  const own = new RegExp(`:${req.socket.localPort}$`);
  for (const name of ['host', 'origin']) {
    const value = req.headers[name];
    if (value && own.test(value)) replace(headers, name, value.replace(own, `:${to.port}`));
  }
  const { search } = new URL(req.url, 'http://localhost');
  const upstream = http.request({ host: '127.0.0.1', port: to.port, method: req.method, path: to.path + search, headers: headers.flat(), agent: false });
  upstream.on('response', (answer) => {
    after?.(req, answer.statusCode);
    res.writeHead(answer.statusCode, answer.statusMessage, crossing(answer.rawHeaders).flat());
    res.flushHeaders();
    answer.pipe(res);
    answer.on('aborted', () => res.destroy());
  });
  upstream.on('error', () => res.destroy());
  res.on('close', () => upstream.destroy());
  req.pipe(upstream);
}

function crossing(raw) {
  const pairs = [];
  for (let at = 0; at < raw.length; at += 2) {
    if (!HOP_BY_HOP.includes(raw[at].toLowerCase())) pairs.push([raw[at], raw[at + 1]]);
  }
  return pairs;
}

function replace(headers, name, value) {
  const others = headers.filter(([key]) => key.toLowerCase() !== name);
  headers.splice(0, headers.length, ...others, [name, value]);
}
