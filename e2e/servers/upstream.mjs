// The servers behind docs/transparency.md, on a port of the system's choice: the SDK's first generation's own example, the
// reference server, and a small one on the second generation that has what the conformance suite calls.
import { spawn } from 'node:child_process';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const own = fileURLToPath(new URL('./small_server.mjs', import.meta.url));
const reference = path.join(path.dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json')), 'dist/index.js');

// Starts it; its port.
export async function upstreamOf(name) {
  if (name === 'sdk-v1') return inHere('@modelcontextprotocol/sdk/examples/server/simpleStreamableHttp.js');
  if (name === 'everything') return child([reference, 'streamableHttp']);
  return child([own, 'http', name.slice('own-'.length)]);
}

// How it is started on stdio; none where it can't be.
export function stdioOf(name) {
  if (name === 'sdk-v1') return undefined;
  if (name === 'everything') return [reference, 'stdio'];
  return [own, 'stdio', name.slice('own-'.length)];
}

// The example wants a fixed port and every interface.
async function inHere(module) {
  console.log = console.error;
  const { listen } = http.Server.prototype;
  const taken = new Promise((done) => {
    http.Server.prototype.listen = function onAnyPort(_port, ...rest) {
      http.Server.prototype.listen = listen;
      const ready = rest.findLast((word) => typeof word === 'function');
      return listen.call(this, 0, '127.0.0.1', () => { ready?.(); done(this.address().port); });
    };
  });
  await import(module);
  return taken;
}

async function child(words) {
  const shim = `import http from 'node:http'; const { listen } = http.Server.prototype;
    http.Server.prototype.listen = function (_port, ...rest) {
      const ready = rest.findLast((word) => typeof word === 'function');
      return listen.call(this, 0, '127.0.0.1', () => { ready?.(); process.send(this.address().port); });
    };`;
  const started = spawn(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(shim)}`, ...words], { stdio: ['ignore', 2, 2, 'ipc'] });
  process.on('exit', () => started.kill());
  return new Promise((done, failed) => {
    started.once('message', done);
    started.once('exit', (code) => failed(new Error(`${words[0]} ended with ${code}`)));
  });
}
