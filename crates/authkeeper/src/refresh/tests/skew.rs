//! Clocks differ: what we sign is dated by the provider's clock, as far as it has told the time.

use super::{kinds, server::Fault, *};

/// Made for these tests with `openssl genpkey -algorithm ed25519`.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIL2FNmiDl4oicPAbayDbM3dLVpaUD/rcEMCg0NC3DhEF\n\
    -----END PRIVATE KEY-----\n";

fn by_assertion(signed_in: &mut SignedIn) {
    let (_, client) = signed_in.client.as_mut().unwrap();
    client.auth_method = ClientAuthMethod::PrivateKeyJwt;
    client.private_key = Some(KEY.to_owned().into());
    client.client_id = ClientId::new("by-key");
    signed_in.connection.client_id = ClientId::new("by-key");
}

/// The server's clock is so far ahead of ours.
fn ahead(bench: &Bench, by: i64) {
    let there = bench.clock.now().wall + jiff::SignedDuration::from_secs(by);
    let date = there.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    bench.server.dates(&date);
}

async fn refreshed(runtime: &Runtime) -> Result<Arc<IssuedToken>, TokenError> {
    after_401(runtime, grant(runtime).await.generation.0).await
}

/// How far ahead of our clock the last assertion was dated, and how far it ends.
fn last(bench: &Bench) -> (i64, i64) {
    let claims = bench.server.assertions().pop().unwrap();
    let now = bench.clock.now().wall.as_second();
    let at = |name: &str| claims[name].as_i64().unwrap() - now;
    (at("iat"), at("exp"))
}

#[tokio::test]
async fn an_assertion_is_dated_by_the_providers_clock_once_that_is_known() {
    let (bench, runtime) = kinds::with(by_assertion).await;
    ahead(&bench, -600);
    refreshed(&runtime).await.unwrap();
    let (dated, ends) = last(&bench);
    assert!((-25..=-15).contains(&dated), "with an allowance: {dated}");
    assert!((50..=62).contains(&ends), "short: {ends}");
    bench.clock.advance(secs(3_601));
    ask(&runtime).await.unwrap();
    let (dated, ends) = last(&bench);
    assert!((-635..=-610).contains(&dated), "{dated}");
    assert!((-555..=-530).contains(&ends), "{ends}");
}

/// `authkeeper token` is a process a call: what the one before it measured is in the decision log.
#[tokio::test]
async fn another_process_takes_over_what_was_measured() {
    let (bench, runtime) = kinds::with(by_assertion).await;
    ahead(&bench, 600);
    bench.server.script([Fault::InvalidClient]);
    refreshed(&runtime).await.unwrap_err();
    let other = bench.process();
    bench.clock.advance(secs(120));
    refreshed(&other).await.unwrap();
    let (dated, _) = last(&bench);
    assert!((560..=600).contains(&dated), "{dated}");
}
