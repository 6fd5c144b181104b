// A real authorization server for the tests: oidc-provider, configured and nothing more, behind a
// front that counts, holds, loses and records. The front implements no OAuth.
//
//   client ── front (PORT: /__ctl, /api, faults, ledger) ── oidc-provider (a private port)
//
// Environment: PORT (0: the system chooses), AT_TTL, RT_TTL (seconds), EXIT_WITH_STDIN=1;
// CLIENT_JWKS: the public keys (JSON) of the client `keyed`, which signs its own assertions;
// PAR=required: authorization requests are taken only if they were pushed (RFC 9126);
// CIMD_PORT: where on the loopback the documents of https://cimd.test/… are, which turns client
// metadata documents on.
// MTLS: JSON {"front":…,"certificate":…}: the TLS front that asks for client certificates (mtls_server.py), behind which
// the endpoints of mtls_endpoint_aliases and the API are, and the file of the certificate that `self` has registered;
// AT_FORMAT=jwt: access tokens are JWTs.
// Clients: `pub` and `device` (public), `conf` (basic), `post`, `svc` (client credentials, basic),
// `keyed` (code and client credentials, private_key_jwt; only with CLIENT_JWKS).
// The ready line on stdout is one JSON object: {"ready":true,"issuer":…,"port":…,"api":…}.
//
// GET /__ctl/…, answers in JSON:
//   stats                    token requests by grant type: received, in_flight, completed; outcomes
//                            ("refresh_token 200", "refresh_token lost"); held; grants_revoked; requests
//   issued                   every secret so far: [{kind, value}]
//   presented                every token shown to /api: [{at, path, token, state, refused}], state
//                            being valid, expired, revoked, other_audience or unknown
//   clients                  the secrets of the clients that have one
//   rotate-secret?id=        gives a client a new secret, which it returns; the old one is refused
//   hold[?mode=after]        refreshes wait: before the provider sees them, or with its answer ready
//   release[?drop=1]         they go on, or lose their connection
//   fail?n=&status=&mode=    the next n refreshes get this status unseen by the provider (before), or
//        [&grant=]           are processed and lose their answer (after); another grant type if named
//   early401?n=              /api refuses the next n valid tokens
//   set?at=&rt=&device=      lifetimes of what is issued from now on; nonce=1: a proof (RFC 9449) needs
//                            the server's number, at the token endpoint and at /me
//   other-certificate?on=1   what is issued is bound to a certificate that no client has
//   disable?sub= enable?sub= the account; revoke-grants: all grants, with all their tokens
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { Provider, errors } from 'oidc-provider';
import { MutualTls } from './mutual_tls.mjs';

const HOST = '127.0.0.1';
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const REVOCABLE = ['AccessToken', 'RefreshToken', 'AuthorizationCode'];
const SECRET_FIELDS = [
  'access_token', 'refresh_token', 'id_token', 'device_code', 'client_secret',
  'registration_access_token',
];

const settings = {
  at: Number(process.env.AT_TTL ?? 60),
  rt: Number(process.env.RT_TTL ?? 3600),
  device: 60,
  nonce: 0,
  disabled: new Set(),
};
const staticSecrets = { conf: newSecret(), post: newSecret(), svc: newSecret() };

// What the tests ask about.
const ledger = {
  issued: new Map(),      // secret → { kind, value }
  accessTokens: new Map(),// access token → the moment (ms) its lifetime ends
  presented: [],          // every token shown to /api
  requests: {},           // method and path → count
  grants: new Set(),
  grantsRevoked: 0,
};
const tokenRequests = { received: {}, in_flight: {}, completed: {}, outcomes: {} };

// Faults. `gate` is null or { mode, waiting: [release functions] }.
let gate = null;
let failure = { n: 0 };
let early401 = 0;

process.removeAllListeners('warning');
const front = http.createServer();
await new Promise((done) => front.listen(Number(process.env.PORT ?? 0), HOST, done));
// The issuer must name the port, so the port comes first and the provider second.
const issuer = `http://${HOST}:${front.address().port}`;
const mtls = process.env.MTLS ? new MutualTls(JSON.parse(process.env.MTLS)) : undefined;
const api = `${mtls?.front ?? issuer}/api`;
const provider = new Provider(issuer, configuration());
const back = http.createServer(provider.callback());
await new Promise((done) => back.listen(0, HOST, done));
watchProvider();
front.on('request', (req, res) => serve(req, res).catch((error) => {
  console.error('front:', error);
  res.destroy();
}));
if (process.env.EXIT_WITH_STDIN === '1') {
  process.stdin.resume().on('end', () => process.exit(0));
}
console.log(JSON.stringify({ ready: true, issuer, port: front.address().port, api }));

// ---- The provider's configuration -------------------------------------------------------------

function configuration() {
  return {
    clients: clients(),
    cookies: { keys: [randomBytes(16).toString('hex')] },
    // `api` too: a client may name, when it registers, the scopes the resource advertises.
    scopes: ['openid', 'offline_access', 'profile', 'api'],
    findAccount: (ctx, id) => (settings.disabled.has(id)
      ? undefined
      : { accountId: id, claims: () => ({ sub: id }) }),
    // As OAuth 2.1 and MCP servers do: no offline_access scope needed, no tie to the browser session.
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: () => false,
    // The strictest habit there is: single use, and a second use kills the grant.
    rotateRefreshToken: () => true,
    // The default of 15 s would keep expired tokens good.
    clockTolerance: 0,
    pkce: { required: () => true },
    ttl: ttl(),
    features: features(),
    discovery: mtls?.discovery() ?? {},
    ...(mtls && { clientAuthMethods: mtls.methods() }),
    fetch: fetchDocument,
  };
}

function clients() {
  const native = {
    redirect_uris: ['http://127.0.0.1/callback'], // a native app: any port (RFC 8252 section 7.3)
    application_type: 'native',
    response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token'],
  };
  return [
    { ...native, client_id: 'pub', token_endpoint_auth_method: 'none' },
    { ...native, client_id: 'conf', client_secret: staticSecrets.conf,
      token_endpoint_auth_method: 'client_secret_basic' },
    { ...native, client_id: 'post', client_secret: staticSecrets.post,
      token_endpoint_auth_method: 'client_secret_post' },
    { client_id: 'svc', client_secret: staticSecrets.svc, redirect_uris: [], response_types: [],
      grant_types: ['client_credentials'], token_endpoint_auth_method: 'client_secret_basic' },
    { client_id: 'device', application_type: 'native', redirect_uris: [], response_types: [],
      grant_types: [DEVICE_GRANT, 'refresh_token'], token_endpoint_auth_method: 'none' },
    ...keyedClient(native),
    ...(mtls?.clients(native) ?? []),
  ];
}

function keyedClient(native) {
  const jwks = process.env.CLIENT_JWKS;
  return jwks ? [{ ...native, client_id: 'keyed', jwks: JSON.parse(jwks),
    grant_types: [...native.grant_types, 'client_credentials'],
    token_endpoint_auth_method: 'private_key_jwt' }] : [];
}

function newSecret() {
  return randomBytes(24).toString('hex');
}

// The provider's own fetch refuses the loopback, where a test's client metadata document lies.
function fetchDocument(address, { dispatcher: _, ...options }) {
  const url = new URL(address);
  if (url.host !== 'cimd.test') throw new Error(`nothing but cimd.test is fetched: ${url.host}`);
  return fetch(`http://${HOST}:${process.env.CIMD_PORT}${url.pathname}`, options);
}

function ttl() {
  return {
    AccessToken: () => settings.at,
    RefreshToken: () => settings.rt,
    AuthorizationCode: () => 60,
    ClientCredentials: () => settings.at,
    DeviceCode: () => settings.device,
    Grant: () => 24 * 3600,
    IdToken: () => 300,
    Interaction: () => 600,
    Session: () => 3600,
  };
}

function features() {
  return {
    ...(process.env.CIMD_PORT && { clientIdMetadataDocument: {
      enabled: true, ack: 'draft-02', cacheDuration: { min: 0, max: 1 } } }),
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => settings.nonce === 1 },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    pushedAuthorizationRequests: { enabled: true,
      requirePushedAuthorizationRequests: process.env.PAR === 'required' },
    ...(mtls && { mTLS: mtls.feature() }),
    registration: { enabled: true },
    registrationManagement: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => {
        if (resource !== api) throw new errors.InvalidTarget();
        return { scope: 'api', audience: api, accessTokenTTL: settings.at,
          accessTokenFormat: process.env.AT_FORMAT ?? 'opaque' };
      },
    },
  };
}

function watchProvider() {
  for (const event of ['access_token', 'refresh_token', 'authorization_code']) {
    provider.on(`${event}.saved`, (token) => token.grantId && ledger.grants.add(token.grantId));
  }
  provider.on('grant.revoked', () => { ledger.grantsRevoked += 1; });
  for (const [id, secret] of Object.entries(staticSecrets)) remember(`client_secret of ${id}`, secret);
}

// ---- The front --------------------------------------------------------------------------------

async function serve(req, res) {
  const url = new URL(req.url, issuer);
  const body = await read(req);
  if (url.pathname.startsWith('/__ctl/')) return control(url, res);
  count(ledger.requests, `${req.method} ${url.pathname.replace(/^(\/interaction|\/auth)\/.*/, '$1/…')}`);
  rememberRequest(url, body);
  if (url.pathname === '/.well-known/oauth-protected-resource/api') return resourceMetadata(res);
  if (url.pathname === '/api' || url.pathname.startsWith('/api/')) {
    return protectedApi(req, url, body, res);
  }
  if (url.pathname === '/token' && req.method === 'POST') return token(req, body, res);
  return send(res, await ask(req, body));
}

async function token(req, body, res) {
  const grant = new URLSearchParams(body.toString()).get('grant_type') ?? 'none';
  count(tokenRequests.received, grant);
  count(tokenRequests.in_flight, grant);
  try {
    const answer = await answerToken(grant, req, body, res);
    if (answer) {
      count(tokenRequests.outcomes, `${grant} ${answer.status}`);
      await send(res, answer);
    }
  } finally {
    count(tokenRequests.in_flight, grant, -1);
    count(tokenRequests.completed, grant);
  }
}

// The answer to give, or nothing when the answer is to be lost.
async function answerToken(grant, req, body, res) {
  const fault = takeFailure(grant);
  if (fault?.mode === 'before') return upstreamUnavailable(fault.status);
  if (!await pass('before', grant)) return cut(grant, res);
  const answer = await ask(req, body);
  if (fault?.mode === 'after') return cut(grant, res);
  if (!await pass('after', grant)) return cut(grant, res);
  return answer;
}

function takeFailure(grant) {
  if (failure.n <= 0 || failure.grant !== grant) return undefined;
  failure.n -= 1;
  return failure;
}

function upstreamUnavailable(status) {
  const headers = { 'content-type': 'text/plain' };
  if (status === 429 || status === 503) headers['retry-after'] = '1';
  return { status, headers, body: Buffer.from('upstream unavailable') };
}

function cut(grant, res) {
  count(tokenRequests.outcomes, `${grant} lost`);
  res.destroy();
}

// Waits while a gate of this mode is shut. Resolves to false if the request is to be dropped.
// A request whose sender has died waits like any other: a real proxy's queue does not know either.
async function pass(mode, grant) {
  if (grant !== 'refresh_token' || gate?.mode !== mode) return true;
  return new Promise((resolve) => { gate.waiting.push(resolve); });
}

// Hands the request on, unchanged, and reads the whole answer.
async function ask(req, body) {
  const { port } = back.address();
  const options = { host: HOST, port, method: req.method, path: req.url, headers: req.headers };
  const res = await new Promise((resolve, reject) => {
    http.request(options, resolve).on('error', reject).end(body);
  });
  const answer = { status: res.statusCode, headers: res.headers, body: await read(res) };
  rememberAnswer(answer);
  return answer;
}

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function send(res, { status, headers, body }) {
  const { 'transfer-encoding': _, connection: __, ...rest } = headers;
  res.writeHead(status, { ...rest, 'content-length': body.length });
  return new Promise((done) => { res.on('close', done).end(body, done); });
}

function sendJson(res, value, status = 200, headers = {}) {
  const body = Buffer.from(JSON.stringify(value));
  return send(res, { status, headers: { 'content-type': 'application/json', ...headers }, body });
}

function count(table, key, by = 1) {
  table[key] = (table[key] ?? 0) + by;
}

// ---- The ledger of secrets --------------------------------------------------------------------

function remember(kind, value) {
  if (value) ledger.issued.set(value, { kind, value });
}

function rememberRequest(url, body) {
  const form = new URLSearchParams(body.length < 65536 ? body.toString() : '');
  remember('code_verifier', form.get('code_verifier'));
  if (url.pathname === '/auth') remember('state', url.searchParams.get('state') ?? form.get('state'));
}

function rememberAnswer({ headers, body }) {
  const location = headers.location && new URL(headers.location, issuer);
  if (location) remember('code', location.searchParams.get('code'));
  if (!headers['content-type']?.startsWith('application/json')) return;
  const json = JSON.parse(body.toString() || 'null');
  for (const field of SECRET_FIELDS) remember(field, json?.[field]);
  if (json?.access_token) {
    ledger.accessTokens.set(json.access_token, Date.now() + json.expires_in * 1000);
  }
}

// ---- The protected API ------------------------------------------------------------------------

async function protectedApi(req, url, body, res) {
  const value = /^Bearer (.+)$/i.exec(req.headers.authorization ?? '')?.[1];
  if (!value) return challenge(res);
  const token = mtls?.readJwt(value) ?? await provider.AccessToken.find(value)
    ?? await provider.ClientCredentials.find(value);
  const state = tokenState(value, token);
  const refused = state !== 'valid' || takeEarly401() || (mtls ? !mtls.holds(req, token) : false);
  ledger.presented.push({ at: Date.now() / 1000, path: url.pathname, token: value, state, refused });
  if (refused) return challenge(res, 'invalid_token', 'the access token is not valid');
  if (url.pathname === '/api/echo') {
    const type = req.headers['content-type'] ?? 'application/octet-stream';
    return send(res, { status: 200, headers: { 'content-type': type }, body });
  }
  return sendJson(res, { sub: token.accountId, client_id: token.clientId, scope: token.scope });
}

function tokenState(value, token) {
  if (token?.isValid) return token.aud && token.aud !== api ? 'other_audience' : 'valid';
  const end = ledger.accessTokens.get(value);
  if (end === undefined) return 'unknown';
  return Date.now() >= end ? 'expired' : 'revoked';
}

function takeEarly401() {
  if (early401 <= 0) return false;
  early401 -= 1;
  return true;
}

function challenge(res, error, description) {
  const parts = [`resource_metadata="${new URL(api).origin}/.well-known/oauth-protected-resource/api"`];
  if (error) parts.unshift(`error="${error}"`, `error_description="${description}"`);
  return sendJson(res, { error: error ?? 'unauthorized' }, 401,
    { 'www-authenticate': `Bearer ${parts.join(', ')}` });
}

function resourceMetadata(res) {
  return sendJson(res, {
    resource: api,
    authorization_servers: [issuer],
    scopes_supported: ['api'],
    bearer_methods_supported: ['header'],
  });
}

// ---- Control ----------------------------------------------------------------------------------

async function control(url, res) {
  const operation = operations[url.pathname.slice('/__ctl/'.length)];
  if (!operation) return sendJson(res, { error: 'no such operation' }, 404);
  return sendJson(res, await operation(url.searchParams) ?? { ok: true });
}

const operations = {
  stats: () => ({
    ...tokenRequests,
    held: gate?.waiting.length ?? 0,
    grants_revoked: ledger.grantsRevoked,
    requests: ledger.requests,
  }),
  issued: () => [...ledger.issued.values()],
  presented: () => ledger.presented,
  clients: () => Object.fromEntries(
    Object.entries(staticSecrets).map(([id, client_secret]) => [id, { client_secret }]),
  ),
  'rotate-secret': async (query) => {
    const id = query.get('id');
    const client = await provider.Client.find(id);
    client.clientSecret = newSecret();
    staticSecrets[id] = client.clientSecret;
    remember(`client_secret of ${id}`, client.clientSecret);
    return { client_secret: client.clientSecret };
  },
  hold: (query) => {
    open(true);
    gate = { mode: query.get('mode') ?? 'before', waiting: [] };
  },
  release: (query) => ({ released: open(query.get('drop') !== '1') }),
  fail: (query) => {
    failure = {
      n: Number(query.get('n') ?? 1),
      status: Number(query.get('status') ?? 503),
      mode: query.get('mode') ?? 'before',
      grant: query.get('grant') ?? 'refresh_token',
    };
  },
  early401: (query) => { early401 = Number(query.get('n') ?? 1); },
  set: (query) => {
    for (const name of ['at', 'rt', 'device', 'nonce']) {
      if (query.has(name)) settings[name] = Number(query.get(name));
    }
    return { at: settings.at, rt: settings.rt, device: settings.device };
  },
  'other-certificate': (query) => mtls.pretend(query.get('on') === '1'),
  disable: (query) => { settings.disabled.add(query.get('sub')); },
  enable: (query) => { settings.disabled.delete(query.get('sub')); },
  'revoke-grants': revokeGrants,
};

// Opens the gate; what waited goes on, or is dropped. Returns how many waited.
function open(go) {
  const waiting = gate?.waiting ?? [];
  gate = null;
  waiting.forEach((resolve) => resolve(go));
  return waiting.length;
}

// What an administrator's "revoke all sessions of this app" does.
async function revokeGrants() {
  const ids = [...ledger.grants];
  ledger.grants.clear();
  for (const id of ids) {
    for (const model of REVOCABLE) await provider[model].revokeByGrantId(id);
    await (await provider.Grant.find(id))?.destroy();
  }
  return { revoked: ids.length };
}
