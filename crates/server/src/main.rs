//! The binary `mcp-server`.
fn main() {
    use std::io::Write as _;
    drop(std::io::stdout().write_all(server::config::example::env_example().as_bytes()));
}
