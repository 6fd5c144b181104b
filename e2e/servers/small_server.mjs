// A small MCP server on the TypeScript SDK's second generation, with what the conformance suite calls: of the era that is
// named (2025: sessions and an event store; 2026: stateless), over HTTP or on stdio.
//
//   node small_server.mjs http|stdio 2025|2026
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { NodeStreamableHTTPServerTransport, localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node';
import { ProtocolError, ResourceNotFoundError, Server, createMcpHandler, createRequestStateCodec, inputRequired, inputResponse, isInitializeRequest } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

const [how, era] = process.argv.slice(2);
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';
const text = (said) => ({ type: 'text', text: said });
const said = (...content) => ({ content });
const object = (properties, required = Object.keys(properties)) => ({ type: 'object', properties, required });
const TEXT = { type: 'string' };
const changed = { tools() {}, prompts() {} };
const codec = createRequestStateCodec({ key: new Uint8Array(32).fill(7) });
const embedded = (uri, more) => ({ type: 'resource', resource: { uri, mimeType: 'text/plain', text: 'Embedded.', ...more } });

const question = (message, properties) => inputRequired.elicit({ message, requestedSchema: object(properties) });
const sample = (prompt) => inputRequired.createMessage({ messages: [{ role: 'user', content: text(prompt) }], maxTokens: 100 });
const accepted = (ctx, key) => {
  const answer = inputResponse(ctx.mcpReq.inputResponses, key);
  return answer.kind === 'elicit' && answer.action === 'accept' ? answer.content : undefined;
};
const given = (ctx, key) => inputResponse(ctx.mcpReq.inputResponses, key).kind !== 'missing';

// Asks until every answer is there, then says what `done` makes of them.
async function ask(ctx, inputRequests, done, state) {
  if (Object.keys(inputRequests).every((key) => given(ctx, key))) return done();
  const requestState = state && await codec.mint(state, ctx);
  return inputRequired({ inputRequests, ...(requestState && { requestState }) });
}

const SEP1034 = object({
  name: { type: 'string', default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
}, []);
const ONE = ['option1', 'option2', 'option3'];
const titled = ['value1', 'value2', 'value3'].map((value) => ({ const: value, title: `Title of ${value}` }));
const SEP1330 = object({
  untitledSingle: { type: 'string', enum: ONE },
  titledSingle: { type: 'string', oneOf: titled },
  legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
  untitledMulti: { type: 'array', items: { type: 'string', enum: ONE } },
  titledMulti: { type: 'array', items: { anyOf: titled } },
}, []);
// What SEP-1613 and SEP-2106 want kept.
const SCHEMA_2020 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: TEXT, city: TEXT } } },
  properties: { name: TEXT, address: { $ref: '#/$defs/address' }, contactMethod: { type: 'string', enum: ['phone', 'email'] }, phone: TEXT, email: TEXT },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

// In the stream of the call that asks, not in the session's own: that may not be open yet.
const related = (ctx) => ({ relatedRequestId: ctx.mcpReq.id });

async function elicited(ctx, message, requestedSchema) {
  const { action, content } = await ctx.mcpReq.elicitInput({ message, requestedSchema }, related(ctx));
  return said(text(`Elicitation completed: action=${action}, content=${JSON.stringify(content)}`));
}

const everywhere = {
  test_simple_text: () => said(text('This is a simple text response for testing.')),
  test_image_content: () => said({ type: 'image', data: PNG, mimeType: 'image/png' }),
  test_audio_content: () => said({ type: 'audio', data: WAV, mimeType: 'audio/wav' }),
  test_embedded_resource: () => said(embedded('test://embedded-resource')),
  test_multiple_content_types: () => said(text('Multiple content types test:'), { type: 'image', data: PNG, mimeType: 'image/png' }, embedded('test://mixed-content-resource', { mimeType: 'application/json', text: '{"test":"data","value":123}' })),
  json_schema_2020_12_tool: () => said(text('Done.')),
  test_error_handling: () => ({ ...said(text('This tool intentionally returns an error for testing')), isError: true }),
  test_tool_with_progress: async (_, ctx) => {
    const { progressToken } = ctx.mcpReq._meta ?? {};
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      await wait(50);
    }
    return said(text('Done.'));
  },
};

const of2025 = {
  test_tool_with_logging: async (_, ctx) => {
    for (const step of ['started', 'processing data', 'completed']) {
      await ctx.mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data: `Tool ${step}` } });
      await wait(50);
    }
    return said(text('Done.'));
  },
  test_sampling: async ({ prompt }, ctx) => {
    const { content } = await ctx.mcpReq.requestSampling({ messages: [{ role: 'user', content: text(prompt) }], maxTokens: 100 }, related(ctx));
    return said(text(`LLM response: ${content.text}`));
  },
  test_elicitation: ({ message }, ctx) => elicited(ctx, message, object({ username: TEXT, email: TEXT })),
  test_elicitation_sep1034_defaults: (_, ctx) => elicited(ctx, 'Defaults?', SEP1034),
  test_elicitation_sep1330_enums: (_, ctx) => elicited(ctx, 'Which?', SEP1330),
  test_reconnection: async (_, ctx) => {
    ctx.http?.closeSSE?.();
    await wait(100);
    return said(text('Said after the stream had been closed.'));
  },
};

const of2026 = {
  test_input_required_result_elicitation: (_, ctx) => {
    const name = accepted(ctx, 'user_name')?.name;
    if (typeof name === 'string') return said(text(`Hello, ${name}!`));
    return inputRequired({ inputRequests: { user_name: question('What is your name?', { name: TEXT }) } });
  },
  test_input_required_result_sampling: (_, ctx) => ask(ctx, { capital_question: sample('What is the capital of France?') }, () => said(text(JSON.stringify(ctx.mcpReq.inputResponses.capital_question)))),
  test_input_required_result_list_roots: (_, ctx) => ask(ctx, { client_roots: inputRequired.listRoots() }, () => said(text(JSON.stringify(ctx.mcpReq.inputResponses.client_roots)))),
  test_input_required_result_request_state: (_, ctx) => ask(ctx, { confirm: question('Please confirm', { ok: { type: 'boolean' } }) }, () => said(text(ctx.mcpReq.requestState()?.step === 1 ? 'state-ok' : 'no state')), { step: 1 }),
  test_input_required_result_tampered_state: (_, ctx) => ask(ctx, { confirm: question('Please confirm', { ok: { type: 'boolean' } }) }, () => said(text('state-ok')), { step: 1 }),
  test_input_required_result_multiple_inputs: (_, ctx) => ask(ctx, { user_name: question('What is your name?', { name: TEXT }), greeting: sample('Generate a greeting'), client_roots: inputRequired.listRoots() }, () => said(text('All there.')), { step: 1 }),
  test_input_required_result_multi_round: async (_, ctx) => {
    const state = ctx.mcpReq.requestState();
    if (state?.step === 2 && given(ctx, 'step2')) return said(text('Both rounds are done.'));
    const step = state?.step === 1 && given(ctx, 'step1') ? 2 : 1;
    const asked = step === 1 ? question('Step 1: What is your name?', { name: TEXT }) : question('Step 2: What is your favorite color?', { color: TEXT });
    return inputRequired({ inputRequests: { [`step${step}`]: asked }, requestState: await codec.mint({ step }, ctx) });
  },
  test_input_required_result_capabilities: (_, ctx) => {
    const can = ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? {};
    const inputRequests = {
      ...(can.elicitation && { user_name: question('What is your name?', { name: TEXT }) }),
      ...(can.sampling && { greeting: sample('Generate a greeting') }),
    };
    return ask(ctx, inputRequests, () => said(text('Done.')));
  },
  test_streaming_elicitation: async (_, ctx) => {
    const { progressToken } = ctx.mcpReq._meta ?? {};
    if (progressToken !== undefined) await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
    return ask(ctx, { user_name: question('What is your name?', { name: TEXT }) }, () => said(text('Done.')));
  },
  test_logging_tool: async (_, ctx) => {
    await ctx.mcpReq.log('info', 'Logged.');
    return said(text('Done.'));
  },
  test_trigger_tool_change: () => {
    changed.tools();
    return said(text('Done.'));
  },
  test_trigger_prompt_change: () => {
    changed.prompts();
    return said(text('Done.'));
  },
  test_header_tool: (words) => said(text(JSON.stringify(words))),
  test_missing_capability: (_, ctx) => ask(ctx, { greeting: sample('Generate a greeting') }, () => said(text('Done.'))),
};

const tools = { ...everywhere, ...(era === '2026' ? of2026 : of2025) };
const headed = { region: { type: 'string', 'x-mcp-header': 'Region' } };
const inputs = { json_schema_2020_12_tool: SCHEMA_2020, test_header_tool: object(headed), test_sampling: object({ prompt: TEXT }), test_elicitation: object({ message: TEXT }) };
const listed = Object.keys(tools).map((name) => ({ name, description: `The conformance suite's ${name}`, inputSchema: inputs[name] ?? object({}) }));

const prompts = {
  test_simple_prompt: () => [text('This is a simple prompt for testing.')],
  test_prompt_with_arguments: ({ arg1, arg2 }) => [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  test_prompt_with_embedded_resource: ({ resourceUri }) => [embedded(resourceUri), text('Please process the embedded resource above.')],
  test_prompt_with_image: () => [{ type: 'image', data: PNG, mimeType: 'image/png' }, text('Please analyze the image above.')],
  ...(era === '2026' && { test_input_required_result_prompt: (_, ctx) => ask(ctx, { user_context: question('What context should the prompt use?', { context: TEXT }) }, () => [text('With your context.')]) }),
};
const wanted = { test_prompt_with_arguments: ['arg1', 'arg2'], test_prompt_with_embedded_resource: ['resourceUri'] };

const resources = {
  'test://static-text': { mimeType: 'text/plain', text: 'This is the content of the static text resource.' },
  'test://static-binary': { mimeType: 'image/png', blob: PNG },
  'test://watched-resource': { mimeType: 'text/plain', text: 'Watched.' },
};

function contents(uri) {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  const found = id ? { mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) } : resources[uri];
  if (!found) throw new ResourceNotFoundError(uri);
  return { contents: [{ uri, ...found }] };
}

function server() {
  const capabilities = { tools: { listChanged: true }, prompts: { listChanged: true }, resources: { subscribe: era === '2025' }, completions: {}, ...(era === '2025' && { logging: {} }) };
  const made = new Server({ name: 'small-server', version: '1.0.0' }, { capabilities, requestState: { verify: codec.verify } });
  const answer = (method, handler) => made.setRequestHandler(method, ({ params }, ctx) => handler(params ?? {}, ctx));
  const named = (all, name) => all[name] ?? (() => { throw new ProtocolError(-32602, `There is no ${name}`); })();
  answer('tools/list', () => ({ tools: listed }));
  answer('tools/call', ({ name, arguments: words }, ctx) => named(tools, name)(words ?? {}, ctx));
  answer('prompts/list', () => ({ prompts: Object.keys(prompts).map((name) => ({ name, description: name, arguments: (wanted[name] ?? []).map((word) => ({ name: word, required: true })) })) }));
  answer('prompts/get', async ({ name, arguments: words }, ctx) => {
    const content = await named(prompts, name)(words ?? {}, ctx);
    return Array.isArray(content) ? { messages: content.map((part) => ({ role: 'user', content: part })) } : content;
  });
  answer('resources/list', () => ({ resources: Object.entries(resources).map(([uri, { mimeType }]) => ({ uri, name: uri, mimeType })) }));
  answer('resources/templates/list', () => ({ resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' }] }));
  answer('resources/read', ({ uri }) => contents(uri));
  answer('completion/complete', () => ({ completion: { values: [], total: 0, hasMore: false } }));
  if (era === '2025') for (const method of ['resources/subscribe', 'resources/unsubscribe', 'logging/setLevel']) answer(method, () => ({}));
  return made;
}

class Events {
  all = [];

  async storeEvent(stream, message) {
    this.all.push({ stream, message });
    return String(this.all.length);
  }

  async getStreamIdForEventId(id) {
    return this.all[Number(id) - 1]?.stream;
  }

  async replayEventsAfter(last, { send }) {
    const { stream } = this.all[Number(last) - 1];
    for (const [at, event] of this.all.entries()) if (at >= Number(last) && event.stream === stream) await send(String(at + 1), event.message);
    return stream;
  }
}

const sessions = new Map();
async function sessionful(req, res) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const message = chunks.length ? JSON.parse(Buffer.concat(chunks)) : undefined;
  const id = req.headers['mcp-session-id'];
  let transport = sessions.get(id);
  if (!transport && (id || !isInitializeRequest(message))) {
    res.writeHead(id ? 404 : 400, { 'content-type': 'application/json' });
    return res.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32000, message: 'No such session' } }));
  }
  if (!transport) {
    transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, eventStore: new Events(), retryInterval: 300, onsessioninitialized: (given) => sessions.set(given, transport), onsessionclosed: (given) => sessions.delete(given) });
    await server().connect(transport);
  }
  return transport.handleRequest(req, res, message);
}

if (how === 'stdio') {
  serveStdio(server);
} else {
  const guards = [localhostHostValidation(), localhostOriginValidation()];
  const handler = createMcpHandler(server, { legacy: 'reject' });
  Object.assign(changed, { tools: () => handler.notify.toolsChanged(), prompts: () => handler.notify.promptsChanged() });
  const serve = era === '2026' ? toNodeHandler(handler) : sessionful;
  http.createServer((req, res) => { if (guards.every((guard) => guard(req, res))) serve(req, res); }).listen(Number(process.env.PORT ?? 0), '127.0.0.1');
}
