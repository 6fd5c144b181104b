//! What a call does, in the words in which attempts are counted and people are told: the JSON-RPC method and the tool's name,
//! else the HTTP method and the path.

use bytes::Bytes;
use http::{Method, Uri};
use serde::Deserialize;

/// As much of a JSON-RPC request as says what is called.
#[derive(Deserialize)]
struct Rpc {
    jsonrpc: String,
    method: String,
    params: Option<CallParams>,
}

#[derive(Deserialize)]
struct CallParams {
    name: Option<String>,
}

/// Arguments are no part of it, and neither is a query: they may be anybody's secrets.
pub(super) fn operation(method: &Method, uri: &Uri, body: Option<&Bytes>) -> String {
    let http = || format!("{method} {}", uri.path());
    let rpc = body.and_then(|body| serde_json::from_slice::<Rpc>(body).ok());
    let Some(rpc) = rpc.filter(|rpc| rpc.jsonrpc == "2.0") else {
        return http();
    };
    let named = matches!(rpc.method.as_str(), "tools/call" | "prompts/get");
    match rpc.params.and_then(|params| params.name).filter(|_| named) {
        Some(name) => format!("{} {name}", rpc.method),
        None => rpc.method,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_without_what_it_is_called_with() {
        let named = |body: Option<&'static str>| {
            let uri = "https://api.example/v1/files?token=s3cret".parse().unwrap();
            operation(&Method::POST, &uri, body.map(Bytes::from).as_ref())
        };
        for (body, expected) in [
            (None, "POST /v1/files"),
            (Some("plain text"), "POST /v1/files"),
            (Some(r#"{"method":"tools/call"}"#), "POST /v1/files"),
            (
                Some(r#"[{"jsonrpc":"2.0","method":"x"}]"#),
                "POST /v1/files",
            ),
            (
                Some(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
                "tools/list",
            ),
            (
                Some(
                    r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"send","arguments":{"to":"ana"}}}"#,
                ),
                "tools/call send",
            ),
            (
                Some(
                    r#"{"jsonrpc":"2.0","method":"resources/read","params":{"uri":"file:///x","name":"y"}}"#,
                ),
                "resources/read",
            ),
        ] {
            assert_eq!(named(body), expected, "{body:?}");
        }
    }
}
