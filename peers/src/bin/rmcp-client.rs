//! A client of the library rmcp: does the job that its one argument describes, and prints what came of it.
//!
//! The job, as JSON: `{"url": …, "headers": {…}}` or `{"command": […], "env": {…}}`, with `"era"` (`"modern"` or
//! `"legacy"`), `"calls": [{"name": …, "arguments": {…}}]` and `"tasks": [ids]`. Printed is one line of JSON:
//! `{"revision": …, "tools": [names], "results": [results of the calls], "tasks": [states]}`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, Write as _};

use http::{HeaderName, HeaderValue};
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, GetTaskParams, Implementation, JsonObject,
    ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

#[derive(Deserialize)]
struct Job {
    url: Option<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    env: HashMap<String, String>,
    era: Era,
    #[serde(default)]
    calls: Vec<Call>,
    #[serde(default)]
    tasks: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Era {
    Modern,
    Legacy,
}

#[derive(Deserialize)]
struct Call {
    name: String,
    #[serde(default)]
    arguments: JsonObject,
}

type Outcome<T> = Result<T, Box<dyn Error>>;
type Client = RunningService<RoleClient, ClientConfig>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let text = std::env::args().nth(1).ok_or("the job is missing")?;
    let job: Job = serde_json::from_str(&text)?;
    let client = connect(&job).await?;
    let done = work(&job, &client).await;
    client.cancel().await?;
    writeln!(io::stdout(), "{}", done?)?;
    Ok(())
}

async fn connect(job: &Job) -> Outcome<Client> {
    let capabilities = match job.era {
        Era::Modern => ClientCapabilities::builder().enable_tasks().build(),
        Era::Legacy => ClientCapabilities::default(),
    };
    let config = ClientConfig::new(capabilities, Implementation::new("rmcp-client", "1"));
    let lifecycle = match job.era {
        Era::Modern => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
        Era::Legacy => ClientLifecycleMode::Initialize,
    };
    if let Some(url) = &job.url {
        let mut headers = HashMap::new();
        for (name, value) in &job.headers {
            headers.insert(name.parse::<HeaderName>()?, HeaderValue::from_str(value)?);
        }
        let settings = StreamableHttpClientTransportConfig::with_uri(url.clone()).custom_headers(headers);
        let transport = StreamableHttpClientTransport::from_config(settings);
        return Ok(config.serve_with_lifecycle(transport, lifecycle).await?);
    }
    let (program, words) = job.command.split_first().ok_or("neither url nor command")?;
    let mut command = Command::new(program);
    command.args(words).envs(&job.env);
    let transport = TokioChildProcess::new(command)?;
    Ok(config.serve_with_lifecycle(transport, lifecycle).await?)
}

async fn work(job: &Job, client: &Client) -> Outcome<Value> {
    let tools = client.list_all_tools().await?;
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    let mut results = Vec::new();
    for call in &job.calls {
        let params = CallToolRequestParams::new(call.name.clone()).with_arguments(call.arguments.clone());
        let response = client.call_tool_once(params).await?;
        results.push(serde_json::to_value(rmcp::model::ServerResult::from(response))?);
    }
    let mut tasks = Vec::new();
    for id in &job.tasks {
        let state = client.get_task(GetTaskParams::new(id.clone())).await?;
        tasks.push(serde_json::to_value(state)?);
    }
    let revision = client.peer_info().map(|peer| peer.protocol_version.to_string());
    Ok(json!({ "revision": revision, "tools": names, "results": results, "tasks": tasks }))
}
