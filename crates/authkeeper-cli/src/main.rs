#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "wired up with the `run` command")
)]
mod carry;
#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "wired up with the `run` command")
)]
mod commands;
#[cfg_attr(
    not(test),
    expect(unused_imports, reason = "wired up with the `mcp` command")
)]
mod mcp;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "wired up with the `run` command")
)]
mod notify;
mod proxy;

fn main() {}
