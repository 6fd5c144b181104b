// The client under test of the official conformance suite, and of the sandbox's own scenarios: the real authkeeper, used as
// its users use it.
//
//   driver.mjs [REVISION] SERVER-URL     (the suite's runner adds the URL and sets MCP_CONFORMANCE_*)
//
// The agent is of this revision, or else of the one that the suite's server is of.
//
// A person's part is `authkeeper connect`, with $BROWSER for the sign-in, and `authkeeper reauthorize` when a call
// failed for lack of authority. An agent's part is a stdio client of the official SDK that starts `authkeeper mcp` and
// knows nothing of tokens. So what reaches the suite's servers was sent by authkeeper alone. In the sandbox's scenarios
// nobody is there to reauthorize.
//
// Home, XDG directories, PATH and BROWSER are the caller's: each run gets a home of its own.
import { execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv, env, exit, stderr } from 'node:process';
import { promisify } from 'node:util';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { errand } from './errand.mjs';

const LATEST = '2026-07-28';
/** The client metadata document that the suite expects; it does not exist, and nobody fetches it. */
const METADATA_DOCUMENT = 'https://conformance-test.local/client-metadata.json';
/** authkeeper's errors that need a person (`data.kind`). */
const A_PERSON_CAN_MEND = ['authority', 'authority_lost'];
/** authkeeper has to give up before this. */
const PATIENCE = 10;

const scenario = env.MCP_CONFORMANCE_SCENARIO;
const context = JSON.parse(env.MCP_CONFORMANCE_CONTEXT ?? '{}');
/** Of the sandbox: they tell which calls to make after a sign-in. */
const refreshing = scenario.startsWith('auth/') && context.toolCalls !== undefined;
const url = argv.at(-1);
/** Each of the sandbox's scenarios is a server of its own, for all that one home may have seen. */
const CONNECTION = refreshing ? `refresh-${new URL(url).port}` : 'conformance';
/** The one scenario that is not: its server is of the era before, behind an answer to `server/discover`. */
const own = scenario === 'json-schema-ref-no-deref' ? '2025-11-25' : env.MCP_CONFORMANCE_PROTOCOL_VERSION;
const revision = argv.length > 3 ? argv[2] : own;

/** What an agent does in each scenario; the rest list the tools and call `test-tool`. */
const ERRANDS = {
  initialize: async (agent) => void await agent.tools(),
  tools_call: addNumbers,
  'elicitation-sep1034-client-defaults': listAndCall('test_client_elicitation_defaults'),
  'sse-retry': listAndCall('test_reconnection'),
  'request-metadata': async () => {},
  'sep-2322-client-request-state': severalRounds,
  'http-standard-headers': everyNamedMethod,
  'http-custom-headers': callsOfTheContext,
  'http-invalid-tool-headers': everyToolThereIs,
  'json-schema-ref-no-deref': async (agent) => void await agent.tools(),
  'json-schema-2020-12-preservation': echoASchema,
};

/** How a person connects, where the URL alone does not say it. */
const CONNECT = {
  'auth/basic-cimd': () => ['--client-metadata-url', METADATA_DOCUMENT],
  'auth/pre-registration': () => givenClient(),
  'auth/client-credentials-basic': () => ['--grant', 'client_credentials', ...givenClient()],
  'auth/client-credentials-jwt': () => [
    '--grant', 'client_credentials', '--client-id', context.client_id,
    '--private-key-file', file('key.pem', context.private_key_pem),
  ],
  'auth/enterprise-managed-authorization': () => [
    '--grant', 'id_jag', ...givenClient(),
    '--idp-token-url', context.idp_token_endpoint, '--idp-client-id', context.idp_client_id,
    '--id-token-file', file('id.token', context.idp_id_token),
  ],
  'auth/wif-jwt-bearer': () => [
    '--grant', 'jwt_bearer', '--client-id', context.client_id,
    '--assertion-file', file('workload.jwt', context.valid_jwt),
  ],
};

async function main() {
  const flags = scenario.startsWith('auth/') ? (CONNECT[scenario] ?? (() => []))() : anyKey();
  if (!refreshing || !await isConnected()) await authkeeper('connect', CONNECTION, url, '--no-check', ...flags);
  const agent = await Agent.start();
  try {
    if (refreshing) await errand(agent, context);
    else await (ERRANDS[scenario] ?? listAndCall('test-tool'))(agent);
  } finally {
    await agent.stop();
  }
}

// Errands

function listAndCall(tool) {
  return async (agent) => {
    await agent.tools();
    await agent.call(tool);
  };
}

async function addNumbers(agent) {
  await agent.tools();
  await agent.call('add_numbers', { a: 5, b: 3 });
}

async function severalRounds(agent) {
  await agent.tools();
  await Promise.all([agent.call('test_mrtr_echo_state'), agent.call('test_mrtr_unrelated')]);
  await agent.call('test_mrtr_no_state');
  // The SDK refuses a result without `resultType`, which a client may do; it must not ask again.
  await agent.call('test_mrtr_no_result_type').catch((error) => say(`refused by the SDK: ${error.message}`));
}

async function everyNamedMethod(agent) {
  const [tool] = await agent.tools();
  await agent.call(tool.name);
  const { resources } = await agent.client.listResources();
  await agent.client.readResource({ uri: resources[0].uri });
  const { prompts } = await agent.client.listPrompts();
  await agent.client.getPrompt({ name: prompts[0].name, arguments: {} });
}

async function callsOfTheContext(agent) {
  await agent.tools();
  for (const { name, arguments: args } of context.toolCalls) await agent.call(name, args);
}

async function everyToolThereIs(agent) {
  for (const { name } of await agent.tools()) await agent.call(name, { region: 'us-west1' });
}

async function echoASchema(agent) {
  const rich = (await agent.tools()).find(({ name }) => name === 'json_schema_2020_12_tool');
  await agent.call('json_schema_echo', { schema: rich.inputSchema });
}

// The agent

/** An MCP client over stdio that starts the bridge. */
class Agent {
  static async start() {
    const agent = new Agent();
    await withPerson(() => agent.connect(), wantsAPerson);
    return agent;
  }

  async connect() {
    this.client = new Client({ name: 'conformance-agent', version: '1.0.0' }, options());
    this.client.setRequestHandler('elicitation/create', answerElicitation);
    const transport = new StdioClientTransport({
      command: 'authkeeper', args: ['mcp', CONNECTION], env: { ...env }, stderr: 'inherit',
    });
    await this.client.connect(transport);
  }

  async tools() {
    return (await withPerson(() => this.client.listTools())).tools;
  }

  async call(name, args = {}) {
    return await withPerson(() => this.client.callTool({ name, arguments: args }));
  }

  /** In the era before, authkeeper listens by itself. */
  async listen() {
    if (revision !== LATEST) return;
    const { closed } = await this.client.listen({ toolsListChanged: true });
    closed.then((cause) => cause === 'remote' && this.listen()).catch((error) => say(error.message));
  }

  /** authkeeper does, when it is left. */
  async endSession() {}

  async stop() {
    await this.client.close();
  }
}

function options() {
  const capabilities = { elicitation: { form: { applyDefaults: true } }, roots: {}, sampling: {} };
  return revision === LATEST ? { capabilities, versionNegotiation: { mode: { pin: LATEST } } } : { capabilities };
}

/** Nothing is filled in where there are defaults: the SDK adds them. */
async function answerElicitation({ params }) {
  const asked = Object.keys(params.requestedSchema?.properties ?? {});
  return { action: 'accept', content: asked.includes('confirmed') ? { confirmed: true } : {} };
}

/** A call that a person may have to help along, and is made again then. */
async function withPerson(call, needsPerson = saysSo) {
  if (refreshing) return await call();
  for (let asked = 0; ; asked += 1) {
    try {
      return await call();
    } catch (error) {
      if (asked === PATIENCE || !await needsPerson(error)) throw error;
      say(`a person is needed: ${error.message}`);
      await authkeeper('reauthorize', CONNECTION);
    }
  }
}

function saysSo(error) {
  return A_PERSON_CAN_MEND.includes(error.data?.kind);
}

/** What the SDK throws where an agent can't even begin says nothing of the bridge's error: a person asks authkeeper. */
async function wantsAPerson() {
  const { stdout } = await promisify(execFile)('authkeeper', ['status', CONNECTION, '--json']);
  const [{ incidents }] = JSON.parse(stdout);
  return incidents.some(({ action }) => action === `authkeeper reauthorize ${CONNECTION}`);
}

// The person

/** A process of before did. */
async function isConnected() {
  const { stdout } = await promisify(execFile)('authkeeper', ['status', '--json']);
  return JSON.parse(stdout).some(({ connection }) => connection === CONNECTION);
}

async function authkeeper(...args) {
  say(`authkeeper ${args.join(' ')}`);
  const child = spawn('authkeeper', args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise((resolve, reject) => child.on('exit', resolve).on('error', reject));
  if (code !== 0) {
    say(`authkeeper ${args[0]} ended with ${code}`);
    exit(1);
  }
}

function givenClient() {
  return ['--client-id', context.client_id, '--client-secret-file', file('client.secret', context.client_secret)];
}

/** These scenarios have no OAuth: the bridge shows their servers a key, which they ignore. */
function anyKey() {
  return ['--grant', 'api_key', '--key-file', file('any.key', 'conformance-key')];
}

function file(name, content) {
  const path = join(env.HOME, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

function say(line) {
  stderr.write(`driver: ${line}\n`);
}

await main();
