# The commands of this project. `just` alone lists them.

[private]
default:
    @just --list

# What CI runs: format, lints, documentation, every test, licences
ci:
    .ci/run

# Start the server from the sources, on an embedded store
run *args:
    cargo run --release -- {{args}}

# Get whatever the tests need and run them all
test *args:
    cargo xtask test {{args}}

# A MongoDB and a Redis server to test against, until Ctrl-C or beside a command: just services -- COMMAND
services *args:
    cargo xtask services {{args}}

# The tests of one crate, quickly
crate name:
    cargo test -p {{name}}

# Format, then check lints as CI does
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets --features backplane/redis,stores/mongodb -- -D warnings

# The documentation of the code, every warning an error
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --features backplane/redis,stores/mongodb

# Rules for sources and documents that the compiler can't see
tidy:
    cargo xtask tidy

# Fuzz the API from its own description
fuzz *args:
    cargo xtask fuzz-api {{args}}

# Run the official conformance suite of the Model Context Protocol
conformance *args:
    cargo xtask conformance {{args}}

# Let the MCP clients that people use talk with the server
clients *args:
    cargo xtask clients {{args}}

# Measure the release build beside a bare axum server
bench *args:
    cargo xtask bench {{args}}

# Measure the task queue beside BullMQ on a Redis server
bench-queue *args:
    cargo xtask bench queue {{args}}

# Measure calls over the Model Context Protocol beside bare axum and rmcp
bench-mcp *args:
    cargo xtask bench mcp {{args}}

# Measure several processes on one MongoDB and one Redis, and count their round trips
bench-scale *args:
    cargo xtask bench scale {{args}}

# Kill a server that works on tasks again and again; nothing may be lost or done twice
chaos *args:
    cargo xtask chaos {{args}}

# Check the files of deploy/ with their own tools, and a real nginx in front of real servers
deploy *args:
    cargo xtask deploy {{args}}

# Check the licence of every dependency
licenses:
    cargo xtask licenses

# The same with cargo-deny, and unused dependencies with cargo-machete, where they are installed
deny:
    cargo deny check bans licenses sources
    cargo machete
