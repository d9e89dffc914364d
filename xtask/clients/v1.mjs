// The TypeScript client, version 1: does the job that its one argument describes, and prints what came of it.
//
// The job, as JSON: {"url": …, "headers": {…}} or {"command": […], "env": {…}}, with
// "calls": [{"name": …, "arguments": {…}}]. Printed is one line of JSON:
// {"revision": …, "tools": [names], "results": [results of the calls]}. It knows the older revisions only.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const job = JSON.parse(process.argv[2]);
const [command, ...args] = job.command ?? [];
const transport = job.url
  ? new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers: job.headers } })
  : new StdioClientTransport({ command, args, env: { ...process.env, ...job.env } });
let revision;
const setProtocolVersion = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => {
  revision = version;
  setProtocolVersion?.(version);
};

const client = new Client({ name: "typescript-v1", version: "1" });
await client.connect(transport);
const tools = [];
let cursor;
do {
  const page = await client.listTools({ cursor });
  tools.push(...page.tools.map((tool) => tool.name));
  cursor = page.nextCursor;
} while (cursor);
const results = [];
for (const call of job.calls) {
  results.push(await client.callTool(call));
}
if (job.url) {
  await transport.terminateSession();
}
await client.close();
console.log(JSON.stringify({ revision, tools, results }));
