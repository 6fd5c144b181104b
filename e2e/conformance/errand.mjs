// What an agent does in a built-in scenario of the sandbox (docs/refresh-scenarios.md): it lists the tools and makes the
// calls of MCP_CONFORMANCE_CONTEXT, as it says there. An agent has tools(), call(name, args), listen() and endSession().
import { setTimeout as sleep } from 'node:timers/promises';

export async function errand(agent, context) {
  await agent.tools();
  if (context.listen) await agent.listen();
  const calls = context.toolCalls.map(({ name, arguments: args }) => () => agent.call(name, args));
  if (context.atOnce) await allAtOnce(calls);
  else if (context.untilOneSucceeds) await untilOneSucceeds(calls, context.pauseSeconds);
  else for (const call of calls) await call();
  if (context.endSession) await agent.endSession();
}

async function allAtOnce(calls) {
  const results = await Promise.allSettled(calls.map((call) => call()));
  const failed = results.find(({ status }) => status === 'rejected');
  if (failed) throw failed.reason;
}

async function untilOneSucceeds(calls, pauseSeconds) {
  let failure;
  for (const call of calls) {
    try {
      return await call();
    } catch (error) {
      failure = error;
      process.stderr.write(`a call failed: ${error.message}\n`);
      await sleep(pauseSeconds * 1000);
    }
  }
  throw failure;
}
