//! A workload's token is exchanged (RFC 8693) at authgent-server, which nobody here wrote. The workload's token is one of the
//! same server's, for another client: the server exchanges what it issued itself.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its helpers too"
)]

use std::{fs, path::PathBuf};

use e2e::{
    home::{Home, Output},
    http,
    scenario::{assert_no_leaks, refreshes, status, token, until_expired},
    servers::Server,
};
use serde_json::{Value, json};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "subject_token_type=urn:ietf:params:oauth:token-type:access_token";

/// A client of authgent's: its id and its secret.
struct Client {
    id: String,
    secret: String,
}

impl Client {
    fn register(server: &Server, grant: &str) -> Self {
        let wanted = json!({
            "client_name": "workload", "grant_types": [grant], "scope": "read",
            "token_endpoint_auth_method": "client_secret_basic",
        });
        let headers = [("content-type", "application/json")];
        let body = wanted.to_string();
        let answer = http::request(server.port(), "POST", "/register", &headers, &body).unwrap();
        let registered = answer.json();
        let text = |field: &str| registered[field].as_str().unwrap().to_owned();
        Self {
            id: text("client_id"),
            secret: text("client_secret"),
        }
    }
}

/// What the platform does: it writes a token for the workload into a file, and another one later.
fn write_subject(home: &Home, server: &Server, workload: &Client) -> PathBuf {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", workload.id.as_str()),
        ("client_secret", workload.secret.as_str()),
        ("scope", "read"),
    ];
    let answer = http::post_form(server.port(), "/token", &form).unwrap();
    let answer = answer.json();
    home.secret_file("workload.jwt", answer["access_token"].as_str().unwrap())
}

/// The server, the workload, and the file with its token.
fn platform(home: &Home, settings: &[(&str, &str)]) -> (Server, Client, PathBuf) {
    let server = Server::authgent(&home.outside(), settings);
    let workload = Client::register(&server, "client_credentials");
    let file = write_subject(home, &server, &workload);
    (server, workload, file)
}

fn connect(home: &Home, server: &Server, (file, more): (&PathBuf, &[&str])) -> Output {
    let client = Client::register(server, GRANT);
    let secret = home.secret_file("client.secret", &client.secret);
    let words = [
        "connect",
        "api",
        server.resource(),
        "--grant",
        "token_exchange",
        "--assertion-file",
        file.to_str().unwrap(),
        "--scope",
        "read",
        "--client-id",
        &client.id,
        "--client-secret-file",
        secret.to_str().unwrap(),
        "--no-check",
    ];
    home.run(&[&words, more].concat())
}

/// What the server says of the token that `authkeeper token` prints.
fn introspect(home: &Home, server: &Server) -> Value {
    let printed = token(home, "api").run().expect_code(0).stdout;
    let form = [("token", printed.trim())];
    let answer = http::post_form(server.port(), "/introspect", &form).unwrap();
    answer.json()
}

#[test]
fn a_workloads_token_is_exchanged_for_one_of_the_servers() {
    let home = Home::new();
    let (server, workload, file) = platform(&home, &[]);
    let connected = connect(&home, &server, (&file, &["--param", ACCESS_TOKEN])).expect_code(0);
    assert!(
        connected.stderr.contains("its platform's word"),
        "{}",
        connected.stderr
    );
    let now = status(&home, "api");
    assert_eq!(
        (&now["grant_type"], &now["refreshable"]),
        (&json!("token_exchange"), &json!(true))
    );
    let about = introspect(&home, &server);
    assert_eq!(about["active"], true, "{about}");
    assert_eq!(about["sub"], format!("client:{}", workload.id), "{about}");
    assert_eq!(server.count("outcomes", &format!("{GRANT} 200")), 1);

    // The same again, with what the file holds by then.
    let _ = write_subject(&home, &server, &workload);
    let _ = home
        .run(&["reauthorize", "api", "--no-check"])
        .expect_code(0);
    assert_eq!(server.count("outcomes", &format!("{GRANT} 200")), 2);
    assert_eq!(status(&home, "api")["lineage"], 2);
    let _ = home.run(&["disconnect", "api"]).expect_code(0);
    assert_no_leaks(&home, &[&server]);
}

#[test]
fn the_file_is_read_again_at_each_renewal() {
    let home = Home::new();
    let short = ("AUTHGENT_EXCHANGE_TOKEN_TTL", "4");
    let (server, workload, file) = platform(&home, &[short]);
    let _ = connect(&home, &server, (&file, &["--param", ACCESS_TOKEN])).expect_code(0);
    until_expired(&home, "api");
    // The platform has a new token for it, and the one before is over.
    let _ = write_subject(&home, &server, &workload);
    let about = introspect(&home, &server);
    assert_eq!(about["active"], true, "{about}");
    assert_eq!(status(&home, "api")["generation"], 2);
    assert_eq!(server.count("outcomes", &format!("{GRANT} 200")), 2);
    assert_eq!(refreshes(&server), 0, "never a refresh");
    assert_no_leaks(&home, &[&server]);
}

/// The usual kind is a JWT, which this server does not exchange: what it says is quoted.
#[test]
fn a_refused_subject_token_is_told_in_the_servers_words() {
    let home = Home::new();
    let (server, _, file) = platform(&home, &[]);
    let refused = connect(&home, &server, (&file, &[]));
    refused.expect_failure(
        77,
        &[
            "Unsupported subject_token_type",
            "urn:ietf:params:oauth:token-type:jwt",
        ],
    );
    assert_eq!(server.count("outcomes", &format!("{GRANT} 400")), 1);
    assert_eq!(home.run(&["status", "--json"]).json(), json!([]));
}

#[test]
fn a_file_without_a_token_is_not_sent() {
    let home = Home::new();
    let (server, _, file) = platform(&home, &[]);
    fs::write(&file, "half a tok\n").unwrap();
    let refused = connect(&home, &server, (&file, &["--param", ACCESS_TOKEN]));
    refused.expect_failure(65, &["does not hold one"]);
    assert_eq!(server.count("received", GRANT), 0);
}
