"""The Python client: does the job that its one argument describes, and prints what came of it.

The job, as JSON: {"url": ..., "headers": {...}} or {"command": [...], "env": {...}}, with "era" ("modern" or
"legacy") and "calls": [{"name": ..., "arguments": {...}}]. Printed is one line of JSON:
{"revision": ..., "tools": [names], "results": [results of the calls]}.
"""

import asyncio
import contextlib
import json
import sys

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


async def main(job):
    async with contextlib.AsyncExitStack() as stack:
        if "url" in job:
            http = await stack.enter_async_context(create_mcp_http_client(headers=job["headers"]))
            server = streamable_http_client(job["url"], http_client=http)
        else:
            program, *words = job["command"]
            server = StdioServerParameters(command=program, args=words, env=job["env"])
        mode = "2026-07-28" if job["era"] == "modern" else "legacy"
        client = await stack.enter_async_context(Client(server, mode=mode))
        listed = await client.list_tools()
        names = [tool.name for tool in listed.tools]
        while listed.next_cursor is not None:
            listed = await client.list_tools(cursor=listed.next_cursor)
            names += [tool.name for tool in listed.tools]
        results = []
        for call in job["calls"]:
            result = await client.call_tool(call["name"], call["arguments"])
            results.append(result.model_dump(by_alias=True, mode="json", exclude_none=True))
        return {"revision": client.protocol_version, "tools": names, "results": results}


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
