#![cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "wired up with the `run` and `mcp` commands"
    )
)]

mod carry;
mod commands;
mod mcp;
mod notify;
mod proxy;

fn main() {}
