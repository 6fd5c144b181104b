//! What `mcp-config` writes is what the clients read: each format is read back by a parser nobody here wrote, and MCP Inspector
//! starts the bridge from it.

use std::fs;

use authkeeper_sandbox::Profile;
use e2e::home::Home;
use e2e::provider::Provider;
use e2e::{inspector, node};
use serde_json::{Value, json};

const CLIENTS: [(&str, &str, &str); 8] = [
    ("claude-code", ".claude.json", "mcpServers"),
    (
        "claude-desktop",
        ".config/Claude/claude_desktop_config.json",
        "mcpServers",
    ),
    ("cursor", ".cursor/mcp.json", "mcpServers"),
    ("vscode", ".config/Code/User/mcp.json", "servers"),
    ("zed", ".config/zed/settings.json", "context_servers"),
    ("inspector", "mcp.json", "mcpServers"),
    ("codex", ".codex/config.toml", "mcp_servers"),
    ("gemini-cli", ".gemini/settings.json", "mcpServers"),
];

/// Reads a file by the parsers of Python.
fn read(home: &Home, file: &str) -> Value {
    const READ: &str = "import json, sys, tomllib, yaml\n\
        text = open(sys.argv[1]).read()\n\
        parse = {'json': json.loads, 'toml': tomllib.loads, 'yaml': yaml.safe_load}[sys.argv[1].rsplit('.')[-1]]\n\
        print(json.dumps(parse(text)))\n";
    let output = home.program(e2e::python(), &["-c", READ, file]).run();
    output.expect_code(0).json()
}

#[test]
fn each_client_finds_the_bridge_where_it_looks() {
    let home = Home::new();
    for (client, file, section) in CLIENTS {
        let words = [
            "mcp-config",
            "notion",
            "--client",
            client,
            "--write",
            "--json",
        ];
        let written = home.run(&words).expect_code(0).json();
        assert_eq!(written["changed"], true, "{client}");
        assert_eq!(written["backup"], Value::Null, "{client}");
        let server = read(&home, file)[section]["notion"].clone();
        let command = server["command"].as_str().or(server["cmd"].as_str());
        let command = command.expect("a command");
        assert!(command.starts_with('/') && command.ends_with("/authkeeper"));
        assert_eq!(server["args"], json!(["mcp", "notion"]), "{client}");
        let before = fs::read(home.path().join(file)).expect("it is there");
        assert_eq!(home.run(&words).expect_code(0).json()["changed"], false);
        assert_eq!(fs::read(home.path().join(file)).expect("there"), before);
        let printed = home.run(&["mcp-config", "notion", "--client", client]);
        assert!(printed.expect_code(0).stdout.contains("notion"), "{client}");
    }
}

#[test]
fn yaml_is_printed_and_not_edited() {
    let home = Home::new();
    let words = ["mcp-config", "notion", "--client", "goose"];
    let printed = home.run(&words).expect_code(0).stdout.clone();
    fs::write(home.path().join("printed.yaml"), &printed).expect("our own directory");
    let server = read(&home, "printed.yaml")["extensions"]["notion"].clone();
    assert!(
        server["cmd"]
            .as_str()
            .expect("a command")
            .ends_with("/authkeeper")
    );
    assert_eq!(server["args"], json!(["mcp", "notion"]));
    assert_eq!(server["enabled"], true);

    let file = home.path().join(".config/goose/config.yaml");
    fs::create_dir_all(file.parent().expect("a folder")).expect("our own directory");
    fs::write(&file, "GOOSE_MODEL: x # mine\n").expect("our own directory");
    let refused = home.run(&[&words[..], &["--write"]].concat());
    let said = ["goose/config.yaml is left as it is", "paste", &printed];
    refused.expect_failure(64, &said);
    let kept = fs::read_to_string(&file).expect("it is there");
    assert_eq!(kept, "GOOSE_MODEL: x # mine\n");
}

#[test]
fn a_file_of_the_users_keeps_what_is_in_it() {
    let home = Home::new();
    let file = home.path().join(".claude.json");
    fs::write(
        &file,
        "{\"numStartups\": 7, \"mcpServers\": {\"notion\": {\"command\": \"npx\"}}}",
    )
    .expect("our own directory");
    let words = ["mcp-config", "notion", "--client", "claude-code", "--write"];
    home.run(&words).expect_failure(64, &["npx", "--force"]);
    let forced = home.run(&[&words[..], &["--force", "--json"]].concat());
    let backup = forced.expect_code(0).json()["backup"].clone();
    let backup = fs::read_to_string(backup.as_str().expect("a path")).expect("it is there");
    assert!(backup.contains("npx"), "{backup}");
    assert_eq!(read(&home, ".claude.json")["numStartups"], 7);
    fs::write(&file, "{\"numStartups\": 7, \"mcpServers\": {").expect("our own directory");
    home.run(&words)
        .expect_failure(65, &["left as it is", "can't be read"]);
    let torn = fs::read_to_string(&file).expect("it is there");
    assert_eq!(torn, "{\"numStartups\": 7, \"mcpServers\": {");
}

#[test]
fn the_inspector_lists_tools_from_what_was_written() {
    let home = Home::new();
    let provider = Provider::sandbox(Profile::Strict);
    let url = format!("{}/mcp", provider.issuer());
    let _ = home.run(&["connect", "try", &url]).expect_code(0);
    let words = ["mcp-config", "try", "--client", "inspector", "--write"];
    let _ = home.run(&words).expect_code(0);
    let inspector = inspector();
    let program = inspector.to_str().expect("a path in UTF-8");
    let words = [
        program,
        "--cli",
        "--config",
        "mcp.json",
        "--server",
        "try",
        "--method",
        "tools/list",
    ];
    let listed = home.program(node(), &words).run().expect_code(0).json();
    let tools = listed["tools"].as_array().expect("a list");
    assert!(tools.iter().any(|tool| tool["name"] == "echo"), "{tools:?}");
}
