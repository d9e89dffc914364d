//! The bare axum server that our figures are compared with: JSON in, the same JSON out, and nothing else.
//!
//! It has what any serious server has (the same allocator, no delay on small packets, every core) and none of what
//! ours adds: no accounts, no checks, no record.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;

use axum::serve::ListenerExt as _;
use axum::{Json, Router, routing};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> io::Result<()> {
    let routes = Router::new()
        .route("/health", routing::get(health))
        .route("/echo", routing::post(echo));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    let prompt = listener.tap_io(|stream| {
        // Fails only on a connection that is gone already.
        stream.set_nodelay(true).ok();
    });
    axum::serve(prompt, routes).await
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

async fn echo(Json(body): Json<Value>) -> Json<Value> {
    Json(body)
}
