use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    http::Reply,
    model::{ClientAuthMethod, ClientId, ClientRegistration, GrantType, Scope, ServerMetadata},
    oauth::register::{
        error::RegistrationError,
        plan::{ClientPlan, GivenClient, KnownClients, plan},
        purpose::Purpose,
        request::{read_registration, registration_request},
    },
};

fn metadata(extra: &Value) -> ServerMetadata {
    let mut base = json!({"issuer": "https://as.example"});
    base.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    serde_json::from_value(base).unwrap()
}

const REDIRECT: Purpose<'_> =
    Purpose::of(GrantType::AuthorizationCode).redirected_to("http://127.0.0.1:5000/callback");

const ANY: (Purpose<'_>, Option<&Scope>) = (REDIRECT, None);

fn answer(scope: Option<&str>) -> Reply {
    let body = match scope {
        Some(scope) => json!({"client_id": "c", "scope": scope}),
        None => json!({"client_id": "c"}),
    };
    Reply {
        status: http::StatusCode::CREATED,
        headers: http::HeaderMap::new(),
        body: body.to_string().into(),
    }
}

#[test]
fn a_client_is_registered_anew_for_more_than_it_was_registered_for() {
    let server = metadata(&json!({"registration_endpoint": "https://as.example/reg"}));
    // What was asked for at the first registration, what the server said, what is wanted now, and for what a new client
    // is registered, if one is.
    let rows = [
        (Some("read"), Some("read"), Some("read"), None),
        (
            Some("read"),
            Some("read"),
            Some("write"),
            Some("read write"),
        ),
        (None, Some("read"), Some("read write"), Some("read write")),
        (Some("read"), None, Some("write"), Some("read write")),
        (Some("read write"), Some("read"), Some("write"), None),
        (Some("read"), Some("read"), None, None),
        (None, None, Some("write"), None),
    ];
    for row in rows {
        let (asked, said, wanted, registered) = row;
        let (asked, wanted) = (asked.map(Scope::new), wanted.map(Scope::new));
        let known = read_registration(&server, (REDIRECT, asked.as_ref()), &answer(said));
        let known = KnownClients {
            given: None,
            registered: vec![known.unwrap()],
        };
        let given = GivenClient::default();
        let planned = plan(&server, &given, known, (REDIRECT, wanted.as_ref())).unwrap();
        match planned {
            ClientPlan::Ready(_) => assert_eq!(registered, None, "{row:?}"),
            ClientPlan::Dynamic { scope, .. } => {
                assert_eq!(scope, registered.map(Scope::new), "{row:?}");
            }
        }
    }
}

#[test]
fn a_registration_names_the_scopes_that_are_wanted() {
    let server = metadata(&json!({}));
    let body = |scope: Option<&Scope>| -> Value {
        let request = registration_request((&server, false), REDIRECT, scope);
        serde_json::from_slice(&request.body).unwrap()
    };
    assert_eq!(body(Some(&Scope::new("read write")))["scope"], "read write");
    assert!(!body(None).as_object().unwrap().contains_key("scope"));
}

#[test]
fn given_then_document_then_known_then_dynamic_then_nothing() {
    let server = metadata(&json!({
        "registration_endpoint": "https://as.example/reg",
        "client_id_metadata_document_supported": true,
    }));
    let mut given = GivenClient {
        client_id: Some(ClientId::new("mine")),
        metadata_url: Some("https://me.example/client.json".to_owned()),
        ..GivenClient::default()
    };
    let id = |plan: ClientPlan| match plan {
        ClientPlan::Ready(registration) => registration.client_id.to_string(),
        ClientPlan::Dynamic { endpoint, .. } => endpoint.as_str().to_owned(),
    };
    assert_eq!(
        id(plan(&server, &given, KnownClients::default(), ANY).unwrap()),
        "mine"
    );
    given.client_id = None;
    assert_eq!(
        id(plan(&server, &given, KnownClients::default(), ANY).unwrap()),
        "https://me.example/client.json"
    );
    for no_document in [
        "https://me.example",
        "https://me.example/",
        "http://127.0.0.1/client.json",
        "me",
    ] {
        given.metadata_url = Some(no_document.to_owned());
        let refused = plan(&server, &given, KnownClients::default(), (REDIRECT, None));
        assert!(refused.is_err(), "{no_document}");
    }
    given.metadata_url = None;
    assert_eq!(
        id(plan(&server, &given, KnownClients::default(), ANY).unwrap()),
        "https://as.example/reg"
    );
    let nothing = plan(&metadata(&json!({})), &given, KnownClients::default(), ANY);
    assert!(matches!(nothing, Err(RegistrationError::Impossible { .. })));
}

fn registered(client: &ClientRegistration) -> KnownClients {
    KnownClients {
        given: None,
        registered: vec![client.clone()],
    }
}

#[test]
fn a_second_sign_in_of_a_client_takes_nothing_from_the_first() {
    let server = metadata(&json!({}));
    let mut given = GivenClient {
        client_id: Some(ClientId::new("mine")),
        secrets: vec!["first".to_owned().into()],
        ..GivenClient::default()
    };
    let ready = |given: &GivenClient, known: Option<ClientRegistration>| {
        let known = KnownClients {
            given: known,
            registered: vec![],
        };
        match plan(&server, given, known, ANY).unwrap() {
            ClientPlan::Ready(client) => client,
            ClientPlan::Dynamic { .. } => panic!("it is given"),
        }
    };
    let mut first = ready(&given, None);
    first.secrets[0].id = Some(1);
    given.secrets.clear();
    let second = ready(&given, Some(first.clone()));
    assert_eq!(
        (second.secrets.len(), second.auth_method),
        (1, ClientAuthMethod::Basic)
    );
    given.secrets = vec!["new".to_owned().into(), "first".to_owned().into()];
    let third = ready(&given, Some(first));
    let ids: Vec<_> = third.secrets.iter().map(|secret| secret.id).collect();
    assert_eq!(
        ids,
        [None, Some(1)],
        "the new one in front, the known one once"
    );
}

#[test]
fn a_registered_client_is_used_again_only_with_its_redirect_uri() {
    let server = metadata(&json!({"registration_endpoint": "https://as.example/reg"}));
    let reply = Reply {
        status: http::StatusCode::CREATED,
        headers: http::HeaderMap::new(),
        body: br#"{"client_id":"dyn","client_secret":"s","token_endpoint_auth_method":"client_secret_post"}"#
            .as_slice()
            .into(),
    };
    let known = read_registration(&server, ANY, &reply).unwrap();
    assert_eq!(known.auth_method, ClientAuthMethod::Post);
    let given = GivenClient::default();
    let same = plan(&server, &given, registered(&known), ANY).unwrap();
    assert!(matches!(same, ClientPlan::Ready(_)));
    let elsewhere =
        Purpose::of(GrantType::AuthorizationCode).redirected_to("http://127.0.0.1:6000/callback");
    for other in [elsewhere, Purpose::of(GrantType::DeviceCode)] {
        let planned = plan(&server, &given, registered(&known), (other, None)).unwrap();
        assert!(matches!(planned, ClientPlan::Dynamic { .. }));
    }
}

#[test]
fn a_secret_that_came_with_a_public_client_is_kept_and_shown_to_no_token_endpoint() {
    let server = metadata(&json!({}));
    let reply = Reply {
        status: http::StatusCode::CREATED,
        headers: http::HeaderMap::new(),
        body: br#"{"client_id":"dyn","client_secret":"s","token_endpoint_auth_method":"none"}"#
            .as_slice()
            .into(),
    };
    let client = read_registration(&server, ANY, &reply).unwrap();
    assert_eq!(client.auth_method, ClientAuthMethod::None);
    assert_eq!(client.secrets.len(), 1, "a revocation endpoint may want it");
    assert!(
        !client.has_another_than(None),
        "it is not tried at the token endpoint"
    );
}

#[test]
fn a_client_id_that_cannot_be_shown_is_none() {
    let server = metadata(&json!({}));
    for (id, good) in [("c 1~", true), ("c\u{1b}[2J", false), ("ü", false)] {
        let reply = Reply {
            status: http::StatusCode::CREATED,
            headers: http::HeaderMap::new(),
            body: json!({"client_id": id}).to_string().into(),
        };
        let read = read_registration(&server, ANY, &reply);
        assert_eq!(read.is_some(), good, "{id:?}");
    }
}

#[test]
fn a_secrets_end_is_kept_and_zero_is_never() {
    let server = metadata(&json!({}));
    let ends = |at: i64| {
        let body = json!({"client_id": "c", "client_secret": "s", "client_secret_expires_at": at});
        let reply = Reply {
            status: http::StatusCode::CREATED,
            headers: http::HeaderMap::new(),
            body: body.to_string().into(),
        };
        let read = read_registration(&server, ANY, &reply).unwrap();
        read.secrets[0].expires_at
    };
    assert_eq!(ends(60), Timestamp::from_second(60).ok());
    assert_eq!(ends(0), None);
}
