//! Values that the checks are made with.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    model::{
        AccessToken, AttemptId, BootId, BootStamp, Claim, ClaimPhase, ClientAuthMethod, ClientId,
        ClientRegistration, ClientSecret, Connection, ConnectionName, Event, Grant, GrantId,
        GrantLifecycle, GrantMaterial, GrantType, IncidentId, Issuer, LifetimeSource, Lineage,
        Moment, OwnerId, Presentation, PrincipalId, Provider, Record, RefreshToken,
        RegistrationSource, Scope, ServerMetadata, SubjectBinding, TokenSet,
    },
    store::{NewIncident, Obtained, Refreshed, SignedIn, Spend, Store},
};

/// Handles of one store, as two processes have them.
pub type Pair = (Arc<dyn Store>, Arc<dyn Store>);

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap()
}

pub(super) fn moment() -> Moment {
    let boot = BootStamp {
        id: BootId(7),
        since: Duration::from_mins(1),
    };
    Moment { wall: now(), boot }
}

pub(super) fn name() -> ConnectionName {
    ConnectionName::parse("c").unwrap()
}

pub(super) fn signed_in(name: &str, refresh: &str) -> SignedIn {
    let issuer = Issuer::new("https://as.example");
    let client_id = ClientId::new("client");
    let metadata: ServerMetadata =
        serde_json::from_value(serde_json::json!({"issuer": "https://as.example"})).unwrap();
    SignedIn {
        connection: Connection {
            name: ConnectionName::parse(name).unwrap(),
            principal: PrincipalId::local_user(),
            url: "https://mcp.example/".to_owned(),
            resource: None,
            issuer: issuer.clone(),
            issuer_given: false,
            internal: true,
            client_id: client_id.clone(),
            scope: None,
            provider: None,
            presentation: Presentation::default(),
            check_url: None,
            grant: None,
            created: now(),
        },
        client: Some((
            Provider {
                issuer: issuer.clone(),
                metadata,
            },
            ClientRegistration {
                secrets: vec![ClientSecret::new("client-secret".to_owned().into())],
                auth_method: ClientAuthMethod::Basic,
                grant_types: vec![GrantType::AuthorizationCode],
                ..ClientRegistration::new(issuer, client_id, RegistrationSource::Dynamic)
            },
        )),
        grant_type: GrantType::AuthorizationCode,
        lifecycle: GrantLifecycle::Active,
        grant_material: GrantMaterial::default(),
        rotate_by: None,
        at: now(),
        obtained: Obtained::Tokens(TokenSet {
            access_token: format!("access of {refresh}").into(),
            refresh_token: Some(RefreshToken {
                secret: refresh.to_owned().into(),
                expires_at: None,
            }),
            scope: Some(Scope::new("read")),
            issued: moment(),
            lifetime: Duration::from_hours(1),
            lifetime_source: LifetimeSource::ExpiresIn,
            refresh_in: None,
            subject_binding: Box::default(),
        }),
        after: Lineage(0),
        new_grant: GrantId::new(format!("grant-{name}-{refresh}")),
    }
}

pub(super) async fn grant_of(store: &dyn Store) -> Grant {
    store.adopt_sign_in(signed_in("c", "r1")).await.unwrap()
}

pub(super) async fn again(store: &dyn Store, grant: &Grant) -> Grant {
    store.grant(&grant.id).await.unwrap().unwrap()
}

pub(super) fn spend(grant: &Grant) -> Spend {
    Spend {
        grant: grant.id.clone(),
        lineage: grant.lineage,
        generation: grant.generation,
    }
}

pub(super) fn claim(attempt: &str) -> Claim {
    Claim {
        attempt: AttemptId::new(attempt),
        number: 1,
        owner: OwnerId::new("owner"),
        since: moment(),
        phase: ClaimPhase::Spending,
    }
}

pub(super) fn refreshed(spend: &Spend, refresh: Option<&str>) -> Refreshed {
    let access = AccessToken {
        secret: "newer access".to_owned().into(),
        lineage: spend.lineage,
        generation: spend.generation.next(),
        issued: moment(),
        lifetime: Duration::from_hours(1),
        lifetime_source: LifetimeSource::ExpiresIn,
        refresh_in: None,
        scope: None,
        resource: None,
        after_rejection: false,
    };
    let refresh = refresh.map(|text| RefreshToken {
        secret: text.to_owned().into(),
        expires_at: Some(now()),
    });
    Refreshed {
        spend: spend.clone(),
        access,
        refresh,
        subject_binding: SubjectBinding::default(),
        hold: None,
    }
}

pub(super) fn refresh_text(grant: &Grant) -> Option<&str> {
    grant
        .refresh
        .as_ref()
        .map(|token| token.secret.expose().as_str())
}

pub(super) fn access_text(grant: &Grant) -> Option<&str> {
    grant
        .access
        .as_ref()
        .map(|token| token.secret.expose().as_str())
}

pub(super) fn incident(id: &str, lineage: u64, reason: &str) -> NewIncident {
    let record = Record {
        event: Event::Uncertain,
        connection: "c".to_owned(),
        principal: "local".to_owned(),
        task: None,
        reason: reason.to_owned(),
        detail: "detail".to_owned(),
        since: now(),
        expires_at: None,
        scope: None,
        action: "none".to_owned(),
        link: None,
        trace_id: id.to_owned(),
        ts: now(),
    };
    NewIncident {
        id: IncidentId::new(id),
        lineage: Lineage(lineage),
        record,
    }
}
