// A client of an official TypeScript SDK over Streamable HTTP with the SDK's own OAuth, for the sandbox's scenarios:
//
//   refresh_client.mjs 1|2 SERVER-URL      the SDK 1.x or 2.x; the sandbox adds the URL and sets MCP_CONFORMANCE_*
//
// It keeps its registration and tokens in a file in $HOME, as an application would. Its person signs in once; asked again,
// they open the page and the call fails. Exit 1 if a call failed.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { argv, env, exit, stderr } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { errand } from '../conformance/errand.mjs';

const [generation, url] = argv.slice(2);
const LATEST = '2026-07-28';
const revision = env.MCP_CONFORMANCE_PROTOCOL_VERSION;
const context = JSON.parse(env.MCP_CONFORMANCE_CONTEXT);
const REDIRECT = 'http://127.0.0.1:49152/callback';

class Provider {
  file = `${env.HOME}/sdk${generation}-${new URL(url).port}.json`;
  redirectUrl = REDIRECT;
  clientMetadata = {
    client_name: `TypeScript SDK ${generation}`,
    redirect_uris: [REDIRECT],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
  };

  clientInformation() { return this.read().client; }
  saveClientInformation(client) { this.write({ client }); }
  tokens() { return this.read().tokens; }
  saveTokens(tokens) { this.write({ tokens }); }
  codeVerifier() { return this.verifier; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }

  invalidateCredentials(scope) {
    if (scope === 'all' || scope === 'tokens') this.write({ tokens: undefined });
    if (scope === 'all' || scope === 'client') this.write({ client: undefined });
  }

  async redirectToAuthorization(page) {
    stderr.write('a person is asked to sign in\n');
    const { headers } = await fetch(page, { redirect: 'manual' });
    this.answer = new URL(headers.get('location')).searchParams;
  }

  read() {
    try {
      return JSON.parse(readFileSync(this.file, 'utf8'));
    } catch {
      return {};
    }
  }

  /** Two processes may write. */
  write(change) {
    const draft = `${this.file}.${process.pid}`;
    writeFileSync(draft, JSON.stringify({ ...this.read(), ...change }));
    renameSync(draft, this.file);
  }
}

class Agent {
  provider = new Provider();

  async start() {
    const { Client, StreamableHTTPClientTransport, UnauthorizedError } = await sdk();
    const connect = async () => {
      this.client = new Client({ name: 'refresh_client', version: '1.0.0' }, options());
      this.transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: this.provider });
      await this.client.connect(this.transport);
    };
    try {
      await connect();
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
      const answer = this.provider.answer;
      await this.transport.finishAuth(generation === '1' ? answer.get('code') : answer);
      await connect();
    }
  }

  tools() { return this.client.listTools(); }

  async call(name, args) {
    const request = { name, arguments: args };
    await this.client.callTool(request);
  }

  /** In the era before, the SDK opens the stream by itself. */
  async listen() {
    if (revision !== LATEST) return;
    const { closed } = await this.client.listen({ toolsListChanged: true });
    closed.then((cause) => cause === 'remote' && sleep(100).then(() => this.listen())).catch(say);
  }

  async endSession() { await this.transport.terminateSession?.(); }
}

function options() {
  const pinned = generation === '2' && revision === LATEST;
  return pinned ? { capabilities: {}, versionNegotiation: { mode: { pin: LATEST } } } : { capabilities: {} };
}

async function sdk() {
  if (generation === '2') return await import('@modelcontextprotocol/client');
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const { UnauthorizedError } = await import('@modelcontextprotocol/sdk/client/auth.js');
  return { Client, StreamableHTTPClientTransport, UnauthorizedError };
}

function say(error) {
  stderr.write(`${error.message}\n`);
}

const agent = new Agent();
try {
  await agent.start();
  await errand(agent, context);
  await agent.client.close();
  exit(0);
} catch (error) {
  say(error);
  exit(1);
}
