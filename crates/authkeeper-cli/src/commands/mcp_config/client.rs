//! The MCP clients: where each keeps its servers, and how it writes one down. Read in their documentation of November 2026.

use std::path::PathBuf;

use clap::ValueEnum as _;

use super::entry::{ServerEntry, Value};
use crate::{args::McpClient, settings::Environment};

/// The language of a configuration file that is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// With comments and trailing commas, where the client takes those.
    Json,
    Toml,
}

impl McpClient {
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// None for YAML, which is printed and not edited.
    pub(super) fn format(self) -> Option<Format> {
        match self {
            Self::Codex => Some(Format::Toml),
            Self::Goose => None,
            _ => Some(Format::Json),
        }
    }

    /// The member that holds the servers by name.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            Self::Zed => "context_servers",
            Self::Codex => "mcp_servers",
            Self::Goose => "extensions",
            _ => "mcpServers",
        }
    }

    /// The user's own configuration file, on Linux or macOS; none where no home is known.
    pub(super) fn file(self, environment: &Environment) -> Option<PathBuf> {
        let home = PathBuf::from(environment.get("HOME")?);
        let folder = |variable: &str, default: PathBuf| {
            environment.get(variable).map_or(default, PathBuf::from)
        };
        let config = folder("XDG_CONFIG_HOME", home.join(".config"));
        let application = if cfg!(target_os = "macos") {
            home.join("Library/Application Support")
        } else {
            config.clone()
        };
        // Zed and goose are in ~/.config on macOS too.
        let everywhere = if cfg!(target_os = "macos") {
            home.join(".config")
        } else {
            config
        };
        Some(match self {
            Self::ClaudeCode => folder("CLAUDE_CONFIG_DIR", home.clone()).join(".claude.json"),
            Self::ClaudeDesktop => application.join("Claude/claude_desktop_config.json"),
            Self::Cursor => home.join(".cursor/mcp.json"),
            Self::Vscode => application.join("Code/User/mcp.json"),
            Self::Zed => everywhere.join("zed/settings.json"),
            // It is told the file: `--config`.
            Self::Inspector => PathBuf::from("mcp.json"),
            Self::Codex => folder("CODEX_HOME", home.join(".codex")).join("config.toml"),
            Self::GeminiCli => home.join(".gemini/settings.json"),
            Self::Goose => everywhere.join("goose/config.yaml"),
        })
    }

    /// A server as this client writes it down.
    pub(super) fn members(self, entry: &ServerEntry) -> Vec<(&'static str, Value)> {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut members = match self {
            Self::Goose => vec![
                ("name", text(&entry.name)),
                ("type", text("stdio")),
                ("enabled", Value::Flag(true)),
            ],
            Self::ClaudeCode | Self::Vscode | Self::Inspector => vec![("type", text("stdio"))],
            _ => vec![],
        };
        let (command, variables) = match self {
            Self::Goose => ("cmd", "envs"),
            _ => ("command", "env"),
        };
        members.push((command, text(&entry.command)));
        members.push(("args", Value::List(entry.args.clone())));
        if !entry.variables.is_empty() {
            members.push((variables, Value::Map(entry.variables.clone())));
        }
        if self == Self::Goose {
            members.push(("timeout", Value::Number(300)));
        }
        members
    }

    /// What a person does so that it is seen.
    pub(super) fn next(self) -> &'static str {
        match self {
            Self::Inspector => "npx @modelcontextprotocol/inspector --config mcp.json reads it",
            Self::Vscode => "VS Code asks whether to trust the server when it is first started",
            _ => "start the client again, so that it reads it",
        }
    }
}
