// The TypeScript client, version 2: does the job that its one argument describes, and prints what came of it.
//
// The job, as JSON: {"url": …, "headers": {…}} or {"command": […], "env": {…}}, with "era" ("modern" or "legacy")
// and "calls": [{"name": …, "arguments": {…}}]. Printed is one line of JSON:
// {"revision": …, "tools": [names], "results": [results of the calls]}.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const job = JSON.parse(process.argv[2]);
const [command, ...args] = job.command ?? [];
const transport = job.url
  ? new StreamableHTTPClientTransport(new URL(job.url), { requestInit: { headers: job.headers } })
  : new StdioClientTransport({ command, args, env: { ...process.env, ...job.env } });
const mode = job.era === "modern" ? { pin: "2026-07-28" } : "legacy";
const client = new Client({ name: "typescript-v2", version: "1" }, { versionNegotiation: { mode } });
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
const revision = client.getNegotiatedProtocolVersion();
await client.close();
console.log(JSON.stringify({ revision, tools, results }));
