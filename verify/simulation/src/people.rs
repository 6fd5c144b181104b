//! Who acts: callers who ask for tokens, and persons who sign in, disconnect, suspend.

use std::time::Duration;

use authkeeper::{
    error::TokenError,
    model::{
        Claim, ClientId, ClientRegistration, Connection, Generation, GrantId, GrantLifecycle,
        GrantMaterial, GrantType, Issuer, LifetimeSource, Lineage, Moment, Presentation,
        PrincipalId, Provider, RefreshToken, RegistrationSource, ServerMetadata, SuspendReason,
        TokenSet,
    },
    runtime::{IssuedToken, Runtime, TokenRequest},
    store::{Obtained, SignedIn},
    testing as inside,
};

use crate::{
    fault::Checkpoint,
    provider::SimToken,
    schedule::connection,
    store,
    truth::GrantSnapshot,
    world::{ProcessId, Sim, SimEvent, SimWorld, TokenCall},
};

pub const ISSUER: &str = "https://as.example";

/// How long before the end of its patience a person's command waits for what it began.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that was signed in just now.
pub fn begin(world: &mut SimWorld) {
    let stores = world.stores.clone();
    let (token, access) = world.provider.issue_family(world.now);
    let lifetime = world.provider.lifetime;
    let signed_in = signed_in((token, &access), lifetime, world.moment());
    for rows in &stores {
        store::lock(rows).adopt(&signed_in);
    }
    let rows = stores
        .first()
        .map(|rows| GrantSnapshot::all(&store::lock(rows)));
    let rows = rows.unwrap_or_default();
    world.look(store::StoreWrite::SignIn, true, &rows);
}

fn signed_in((token, access): (SimToken, &str), lifetime: Duration, issued: Moment) -> SignedIn {
    let (issuer, client_id) = (Issuer::new(ISSUER), ClientId::new("client"));
    let metadata = ServerMetadata {
        issuer: ISSUER.to_owned(),
        token_endpoint: Some(format!("{ISSUER}/token")),
        revocation_endpoint: Some(format!("{ISSUER}/revoke")),
        ..ServerMetadata::default()
    };
    let given = RegistrationSource::Given;
    let client = ClientRegistration::new(issuer.clone(), client_id.clone(), given);
    SignedIn {
        connection: Connection {
            name: connection(),
            principal: PrincipalId::local_user(),
            url: "https://mcp.example/".to_owned(),
            resource: None,
            issuer: issuer.clone(),
            issuer_given: false,
            internal: false,
            client_id,
            scope: None,
            provider: None,
            presentation: Presentation::default(),
            check_url: None,
            grant: None,
            created: issued.wall,
        },
        client: Some((Provider { issuer, metadata }, client)),
        grant_type: GrantType::AuthorizationCode,
        lifecycle: GrantLifecycle::Active,
        grant_material: GrantMaterial::default(),
        rotate_by: None,
        at: issued.wall,
        obtained: Obtained::Tokens(TokenSet {
            access_token: access.to_owned().into(),
            refresh_token: Some(RefreshToken {
                secret: token.to_string().into(),
                expires_at: None,
            }),
            scope: None,
            issued,
            lifetime,
            lifetime_source: LifetimeSource::ExpiresIn,
            refresh_in: None,
            subject_binding: Box::default(),
        }),
        after: Lineage(0),
        new_grant: GrantId::new(format!("grant-{}", token.family)),
    }
}

/// A person signs in, whether or not there is a grant that works.
pub async fn sign_in(sim: Sim, runtime: Runtime) {
    let signed_in = {
        let mut world = sim.lock();
        let now = world.now;
        let (token, access) = world.provider.issue_family(now);
        world.tell(|| format!("a person signs in: {token}"));
        signed_in((token, &access), world.provider.lifetime, world.moment())
    };
    let done = inside::sign_in(&runtime, signed_in).await;
    sim.lock()
        .tell(|| format!("the sign-in ends: {:?}", done.map(|grant| grant.lineage)));
}

pub async fn disconnect(sim: Sim, runtime: Runtime) {
    sim.lock().tell(|| "a person disconnects".to_owned());
    let done = runtime.disconnect(&connection()).await;
    sim.lock().tell(|| format!("disconnected: {done:?}"));
    runtime.drain(PATIENCE).await;
}

/// A person withdraws authority for a while.
pub fn suspend(sim: &Sim) {
    let since = sim.lock().moment().wall;
    let reason = SuspendReason::Manual;
    change(sim, "a person suspends", |lifecycle| {
        if *lifecycle == GrantLifecycle::Active {
            *lifecycle = GrantLifecycle::Suspended { reason, since };
        }
    });
    let mut world = sim.lock();
    let wait = world.dice.millis(1_000, 600_000);
    world.after(wait, SimEvent::Restore);
}

pub fn restore(sim: &Sim) {
    change(sim, "a suspension ends", |lifecycle| {
        if matches!(lifecycle, GrantLifecycle::Suspended { .. }) {
            *lifecycle = GrantLifecycle::Active;
        }
    });
}

fn change(sim: &Sim, what: &'static str, change: impl Fn(&mut GrantLifecycle)) {
    let rows = {
        let mut rows = sim.rows();
        for row in rows.grants.values_mut() {
            change(&mut row.record.grant.lifecycle);
        }
        rows.touch();
        GrantSnapshot::all(&rows)
    };
    let mut world = sim.lock();
    world.tell(|| what.to_owned());
    world.truth.begin_again(&rows);
}

/// The claim that is held.
pub fn claim(sim: &Sim) -> Option<Claim> {
    let rows = sim.rows();
    let mut grants = rows.grants.values();
    grants.find_map(|row| row.record.grant.claim.clone())
}

/// A caller asks, uses its token, and asks once more if that gets a 401.
pub async fn ask(sim: Sim, runtime: Runtime, process: ProcessId, call: TokenCall) {
    sim.pass(process, Checkpoint::Arguments);
    let mut request = TokenRequest::new(connection());
    match call {
        TokenCall::Plain => {}
        TokenCall::MuchTime => {
            let lifetime = sim.lock().provider.lifetime;
            request = request.min_ttl(lifetime.checked_sub(Duration::from_secs(2)));
        }
        TokenCall::Rejected => {
            let current = GrantSnapshot::current(&sim.rows());
            if let Some(access) = current.as_ref().and_then(|row| row.access.as_ref()) {
                sim.lock().provider.reject(access);
            }
            let generation = current.map(|row| Generation(row.generation));
            request = request.after_401(generation);
        }
    }
    let Some(refused) = use_once(&sim, &runtime, process, request).await else {
        return;
    };
    let again = TokenRequest::new(connection()).after_401(Some(refused));
    use_once(&sim, &runtime, process, again).await;
}

/// The generation that got a 401, if one did.
async fn use_once(
    sim: &Sim,
    runtime: &Runtime,
    process: ProcessId,
    request: TokenRequest,
) -> Option<Generation> {
    let answer = runtime.access_token(&request).await;
    let mut world = sim.lock();
    if !world.is_alive(process) {
        return None;
    }
    match answer {
        Ok(token) => {
            let access = text(&token);
            world.check_released(&access);
            world.tell(|| format!("p{process} hands out {access}"));
            world.coverage.ended("a token");
            world.pass(process, Checkpoint::Released);
            let now = world.now;
            (!world.provider.serves(&access, now)).then_some(token.generation)
        }
        Err(error) => {
            world.tell(|| format!("p{process} answers: {error}"));
            world.coverage.ended(word(&error));
            None
        }
    }
}

fn text(token: &IssuedToken) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tokens are the simulation's own"
    )]
    token.secret.expose().clone()
}

fn word(error: &TokenError) -> &'static str {
    match error {
        TokenError::NoSuchConnection { .. } => "no such connection",
        TokenError::ReauthorizationRequired { .. } => "reauthorization required",
        TokenError::Suspended { .. } => "suspended",
        TokenError::Rejected { .. } => "rejected",
        TokenError::Uncertain { .. } => "uncertain",
        TokenError::Unavailable { .. } => "unavailable",
        TokenError::ClientRefused { .. } => "client refused",
        TokenError::RequestRefused { .. } => "request refused",
        TokenError::EndpointMoved { .. } => "endpoint moved",
        TokenError::Store(_) => "store",
        _ => "something else",
    }
}
