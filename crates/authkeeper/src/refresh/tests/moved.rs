//! The resource takes tokens of another authorization server now.

use super::{kinds::with, server::Fault, *};
use crate::model::{ConnectionState, ReauthorizeReason};

const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

/// Signed in where the metadata said, without a refresh token.
fn discovered(signed_in: &mut SignedIn) {
    let (provider, client) = signed_in.client.as_mut().unwrap();
    provider.metadata.authorization_endpoint = Some("https://as.example/authorize".to_owned());
    client.source = RegistrationSource::Dynamic;
    // As another client: the refresh token of the sign-in before is not kept.
    client.client_id = ClientId::new("discovered");
    signed_in.connection.client_id = ClientId::new("discovered");
    if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
        tokens.refresh_token = None;
    }
}

/// The same, with one.
fn refreshable(signed_in: &mut SignedIn) {
    discovered(signed_in);
    let refresh = RefreshToken {
        secret: "refresh-2".to_owned().into(),
        expires_at: None,
    };
    if let Obtained::Tokens(tokens) = &mut signed_in.obtained {
        tokens.refresh_token = Some(refresh);
    }
}

fn names(bench: &Bench, servers: &str) {
    let metadata =
        format!(r#"{{"resource":"https://mcp.example/mcp","authorization_servers":[{servers}]}}"#);
    bench.server.page(METADATA, 200, None, &metadata);
}

async fn refused(runtime: &Runtime) -> TokenError {
    let generation = grant(runtime).await.generation;
    after_401(runtime, generation.0).await.unwrap_err()
}

#[tokio::test]
async fn a_401_where_another_issuer_is_named_asks_for_a_sign_in_there() {
    let (bench, runtime) = with(discovered).await;
    names(&bench, r#""https://new.example""#);
    let error = refused(&runtime).await;
    let TokenError::ReauthorizationRequired { record } = &error else {
        panic!("{error}");
    };
    assert_eq!(record.reason, "authorization_server_changed");
    assert!(
        record.detail.contains("names https://new.example"),
        "{}",
        record.detail
    );
    assert_eq!(record.action, "authkeeper reauthorize c");
    let state = status(&runtime).await.state;
    let reason = ReauthorizeReason::AuthorizationServerChanged;
    assert!(
        matches!(state, ConnectionState::ReauthorizationRequired { reason: why, .. } if why == reason),
        "{state:?}"
    );
    let later = ask(&bench.process()).await.unwrap_err();
    let later = later.record().unwrap();
    assert_eq!(
        (&later.detail, &later.action),
        (&record.detail, &record.action),
        "the old token is handed out no more, and it is said where it moved"
    );
    let told = runtime.incidents().await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(bench.server.requests(), 0, "nobody was asked for tokens");
}

/// What it is, whom the metadata names if there is any, and what else is so.
type Row = (&'static str, Option<&'static str>, fn(&mut SignedIn));

#[tokio::test]
async fn nothing_else_says_that_it_moved() {
    // Named still; no metadata; metadata of another resource; none named; an issuer that a person gave or that was guessed.
    let rows: [Row; 6] = [
        (
            "among others",
            Some(r#""https://new.example","https://as.example""#),
            |_| {},
        ),
        ("no metadata", None, |_| {}),
        ("none named", Some(""), |_| {}),
        ("given", Some(r#""https://new.example""#), |new| {
            new.connection.issuer_given = true;
        }),
        ("guessed", Some(r#""https://new.example""#), |new| {
            let (provider, _) = new.client.as_mut().unwrap();
            provider.metadata.authorization_endpoint = None;
            // One client, one word of its issuer: another id, so that what was stored before is not it.
            let client = ClientId::new("imported");
            new.client.as_mut().unwrap().1.client_id = client.clone();
            new.connection.client_id = client;
        }),
        (
            "of another resource",
            Some(r#""https://new.example"],"resource":["x""#),
            |_| {},
        ),
    ];
    for (what, servers, change) in rows {
        let (bench, runtime) = with(|new| {
            discovered(new);
            change(new);
        })
        .await;
        if let Some(servers) = servers {
            names(&bench, servers);
        }
        let error = refused(&runtime).await;
        assert!(
            matches!(error, TokenError::Rejected { .. }),
            "{what}: {error}"
        );
        assert_eq!(
            status(&runtime).await.state,
            ConnectionState::Active,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_refresh_that_does_not_resolve_it_is_followed_by_a_look() {
    let (bench, runtime) = with(refreshable).await;
    names(&bench, r#""https://new.example""#);
    // The old server still refreshes, and the resource takes none of it.
    let fresh = after_401(&runtime, grant(&runtime).await.generation.0).await;
    let fresh = fresh.unwrap().generation;
    let error = after_401(&runtime, fresh.0).await.unwrap_err();
    assert!(
        matches!(error, TokenError::ReauthorizationRequired { .. }),
        "{error}"
    );
    assert_eq!(
        bench.server.requests(),
        1,
        "its refresh token is left alone from now on"
    );
    bench.clock.advance(Duration::from_hours(24));
    assert!(ask(&runtime).await.is_err());
    assert_eq!(bench.server.requests(), 1);
}

#[tokio::test]
async fn an_old_server_that_is_gone_is_told_from_one_that_is_down() {
    let (bench, runtime) = with(refreshable).await;
    names(&bench, r#""https://as.example""#);
    bench
        .server
        .script([Fault::Unavailable, Fault::Unavailable]);
    let error = refused(&runtime).await;
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
    names(&bench, r#""https://new.example""#);
    let error = refused(&runtime).await;
    assert!(
        matches!(error, TokenError::Unavailable { .. }),
        "asked once a minute: {error}"
    );
    bench.clock.advance(Duration::from_mins(2));
    bench.server.script([Fault::Unavailable]);
    let error = refused(&runtime).await;
    assert!(
        matches!(error, TokenError::ReauthorizationRequired { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_client_that_a_person_gave_is_told_to_be_registered_there() {
    let (bench, runtime) = with(|new| {
        discovered(new);
        new.client.as_mut().unwrap().1.source = RegistrationSource::Given;
    })
    .await;
    names(&bench, r#""https://new.example""#);
    let wanted = "register a client at https://new.example, then authkeeper connect c https://mcp.example/mcp --client-id ID";
    for error in [refused(&runtime).await, ask(&runtime).await.unwrap_err()] {
        assert_eq!(error.record().unwrap().action, wanted);
    }
}

/// The same name signed in at another issuer, as another client.
fn signed_in_at_another(bench: &Bench) -> SignedIn {
    let mut new = signed_in("refresh-of-the-new", bench.clock.now(), secs(3600));
    let (issuer, id) = (
        Issuer::new("https://new.example"),
        ClientId::new("newcomer"),
    );
    new.client.as_mut().unwrap().0.issuer = issuer.clone();
    let client = &mut new.client.as_mut().unwrap().1;
    (client.issuer, client.client_id) = (issuer.clone(), id.clone());
    (new.connection.issuer, new.connection.client_id) = (issuer, id);
    new
}

#[tokio::test]
async fn what_is_left_at_the_server_before_is_revoked_there() {
    let (bench, runtime) = Bench::new().await;
    let before = grant(&runtime).await;
    let refresh = refresh_of(&before).unwrap();
    let same = signed_in("refresh-again", bench.clock.now(), secs(3600));
    runtime.adopt_signed_in(same).await.unwrap();
    assert!(runtime.drain(secs(10)).await);
    assert!(bench.server.revoked().is_empty(), "it did not move");
    let kept = refresh_of(&grant(&runtime).await).unwrap();
    assert_ne!(kept, refresh);
    runtime
        .adopt_signed_in(signed_in_at_another(&bench))
        .await
        .unwrap();
    assert!(runtime.drain(secs(10)).await);
    assert_eq!(bench.server.revoked(), [kept, "access-0".to_owned()]);
    assert_eq!(
        refresh_of(&grant(&runtime).await).unwrap(),
        "refresh-of-the-new"
    );
}

#[tokio::test]
async fn what_another_client_leaves_at_the_same_server_is_revoked_there() {
    let (bench, runtime) = Bench::new().await;
    let before = refresh_of(&grant(&runtime).await).unwrap();
    let mut wider = signed_in("refresh-of-the-new", bench.clock.now(), secs(3600));
    let id = ClientId::new("registered for more");
    wider.client.as_mut().unwrap().1.client_id = id.clone();
    wider.connection.client_id = id;
    let mut same = wider.clone();
    runtime.adopt_signed_in(wider).await.unwrap();
    assert!(runtime.drain(secs(10)).await);
    let left = [before, "access-0".to_owned()];
    assert_eq!(bench.server.revoked(), left);
    // The very token, brought by whom it really belongs to, is no other grant at the server.
    let id = ClientId::new("corrected");
    same.client.as_mut().unwrap().1.client_id = id.clone();
    (same.connection.client_id, same.new_grant) = (id, GrantId::new("corrected"));
    runtime.adopt_signed_in(same).await.unwrap();
    assert!(runtime.drain(secs(10)).await);
    assert_eq!(bench.server.revoked(), left);
}

#[tokio::test]
async fn what_others_use_is_not_revoked_by_who_leaves() {
    let (bench, runtime) = Bench::new().await;
    let refresh = refresh_of(&grant(&runtime).await).unwrap();
    let mut other = signed_in(&refresh, bench.clock.now(), secs(3600));
    other.connection.name = ConnectionName::parse("other").unwrap();
    runtime.adopt_signed_in(other).await.unwrap();
    runtime
        .adopt_signed_in(signed_in_at_another(&bench))
        .await
        .unwrap();
    assert!(runtime.drain(secs(10)).await);
    assert!(bench.server.revoked().is_empty());
}
