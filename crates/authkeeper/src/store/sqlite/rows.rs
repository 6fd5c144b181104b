//! Rows to types and back. A row that no code of ours can have written is damage, and says so.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, Row, types::Type};
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        AccessToken, AttemptId, Claim, ClaimPhase, ClientAuthMethod, ClientId, ClientRegistration,
        ClientSecret, Connection, ConnectionName, Generation, Grant, GrantId, GrantLifecycle,
        GrantMaterial, GrantType, Incident, IncidentId, Issuer, LifetimeSource, Lineage, Moment,
        OwnerId, Presentation, PrincipalId, ReauthorizeReason, RefreshToken, RegistrationSource,
        RepeatedRefusal, Resource, Scope, StandbyKey, SubjectBinding, SuspendReason, UnknownKind,
    },
    secret::SecretString,
    store::{GrantRecord, PendingSignIn},
    vault::seal::{AssociatedData, Sealed, Sealer},
};

/// A column holds what can't be there.
#[derive(Debug, thiserror::Error)]
#[error("column {0} holds a value that can't be there")]
struct Impossible(&'static str);

pub(super) fn impossible(column: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(Impossible(column)))
}

pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(super) fn timestamp(column: &'static str, millis: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(millis).map_err(|_range| impossible(column))
}

pub(super) fn moment(column: &'static str, text: &str) -> rusqlite::Result<Moment> {
    text.parse().map_err(|_no_moment| impossible(column))
}

pub(super) fn number(column: &'static str, value: i64) -> rusqlite::Result<u64> {
    u64::try_from(value).map_err(|_negative| impossible(column))
}

pub(super) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn connection(row: &Row<'_>) -> rusqlite::Result<Connection> {
    let name: String = row.get("name")?;
    Ok(Connection {
        name: ConnectionName::parse(&name).map_err(|_name| impossible("name"))?,
        principal: PrincipalId::new(row.get::<_, String>("principal")?),
        url: row.get("url")?,
        resource: row.get::<_, Option<String>>("resource")?.map(Resource::new),
        issuer: Issuer::new(row.get::<_, String>("issuer")?),
        issuer_given: row.get("issuer_given")?,
        internal: row.get("internal")?,
        client_id: ClientId::new(row.get::<_, String>("client_id")?),
        scope: row.get::<_, Option<String>>("scope")?.map(Scope::new),
        provider: row.get("provider")?,
        presentation: Presentation::parse(&row.get::<_, String>("presentation")?)
            .map_err(|_header| impossible("presentation"))?,
        check_url: row.get("check_url")?,
        grant: row.get::<_, Option<String>>("grant_id")?.map(GrantId::new),
        created: timestamp("created", row.get("created")?)?,
    })
}

/// What a client was registered with: its redirect URIs alone, or an object where more is known. There is no column for
/// more, since the schema has to fit the file's first page.
#[derive(Serialize, Deserialize)]
pub(super) struct Registered {
    redirect_uris: Vec<String>,
    scope: Option<String>,
}

impl Registered {
    pub(super) fn of(client: &ClientRegistration) -> Self {
        Self {
            redirect_uris: client.redirect_uris.clone(),
            scope: client.scope.as_ref().map(|scope| scope.as_str().to_owned()),
        }
    }

    pub(super) fn to_json(&self) -> String {
        match &self.scope {
            Some(_) => serde_json::json!(self).to_string(),
            None => serde_json::json!(self.redirect_uris).to_string(),
        }
    }

    fn read(json: &str) -> Option<Self> {
        let alone = serde_json::from_str(json).map(|redirect_uris| Self {
            redirect_uris,
            scope: None,
        });
        alone.or_else(|_more| serde_json::from_str(json)).ok()
    }
}

/// A client with its secrets, which have a table of their own.
pub(super) fn registration(
    sql: &Sqlite,
    row: &Row<'_>,
    sealer: &Sealer,
) -> rusqlite::Result<ClientRegistration> {
    let (issuer, client_id): (String, String) = (row.get("issuer")?, row.get("client_id")?);
    let record = registration_record(&issuer, &client_id);
    let sealed: Option<Vec<u8>> = row.get("private_key")?;
    let private_key = sealed.map(|sealed| {
        open(sealer, private_key_belongs(&record), &sealed).ok_or_else(|| impossible("private_key"))
    });
    let registered: String = row.get("redirect_uris")?;
    let registered = Registered::read(&registered).ok_or_else(|| impossible("redirect_uris"))?;
    let (method, source): (String, String) = (row.get("auth_method")?, row.get("source")?);
    Ok(ClientRegistration {
        secrets: client_secrets(sql, (&issuer, &client_id), sealer)?,
        private_key: private_key.transpose()?,
        key_id: row.get("key_id")?,
        auth_method: ClientAuthMethod::parse(&method).ok_or_else(|| impossible("auth_method"))?,
        redirect_uris: registered.redirect_uris,
        scope: registered.scope.map(Scope::new),
        source: RegistrationSource::parse(&source).ok_or_else(|| impossible("source"))?,
        grant_types: grant_types(row)?,
        refused: optional_timestamp("refused", row)?,
        issuer: Issuer::new(issuer),
        client_id: ClientId::new(client_id),
    })
}

fn grant_types(row: &Row<'_>) -> rusqlite::Result<Vec<GrantType>> {
    let words: String = row.get("grant_types")?;
    let parse = |word: &str| GrantType::parse(word).ok_or_else(|| impossible("grant_types"));
    words.split_whitespace().map(parse).collect()
}

fn client_secrets(
    sql: &Sqlite,
    (issuer, client_id): (&str, &str),
    sealer: &Sealer,
) -> rusqlite::Result<Vec<ClientSecret>> {
    let record = registration_record(issuer, client_id);
    let select =
        "SELECT * FROM client_secret WHERE issuer = ?1 AND client_id = ?2 ORDER BY id DESC";
    let mut secrets = sql.prepare_cached(select)?;
    let secrets = secrets.query_map([issuer, client_id], |row| {
        let sealed: Vec<u8> = row.get("secret")?;
        let secret = open(sealer, client_secret_belongs(&record), &sealed);
        Ok(ClientSecret {
            id: Some(number("id", row.get("id")?)?),
            secret: secret.ok_or_else(|| impossible("client_secret"))?,
            refused: optional_timestamp("refused", row)?,
            expires_at: optional_timestamp("expires", row)?,
        })
    })?;
    secrets.collect()
}

fn optional_timestamp(column: &'static str, row: &Row<'_>) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> = row.get(column)?;
    millis.map(|millis| timestamp(column, millis)).transpose()
}

pub(super) fn pending(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<Option<PendingSignIn>> {
    let name: String = row.get("name")?;
    let memory = open(
        sealer,
        pending_belongs(&name),
        &row.get::<_, Vec<u8>>("sealed")?,
    );
    // A sign-in whose state can't be opened starts over.
    let Some(memory) = memory else {
        return Ok(None);
    };
    Ok(Some(PendingSignIn {
        memory,
        ends: timestamp("ends", row.get("ends")?)?,
        name: ConnectionName::parse(&name).map_err(|_name| impossible("name"))?,
    }))
}

pub(super) fn registration_record(issuer: &str, client_id: &str) -> String {
    format!("{issuer} {client_id}")
}

pub(super) fn client_secret_belongs(record: &str) -> AssociatedData<'_> {
    AssociatedData {
        record,
        field: "client_secret",
        generation: 0,
    }
}

pub(super) fn private_key_belongs(record: &str) -> AssociatedData<'_> {
    AssociatedData {
        record,
        field: "private_key",
        generation: 0,
    }
}

pub(super) fn pending_belongs(name: &str) -> AssociatedData<'_> {
    AssociatedData {
        record: name,
        field: "pending_sign_in",
        generation: 0,
    }
}

pub(super) fn standby_belongs(grant: &str, generation: u64) -> AssociatedData<'_> {
    AssociatedData {
        record: grant,
        field: "standby_key",
        generation,
    }
}

pub(super) fn grant_material_belongs(grant: &str, lineage: u64) -> AssociatedData<'_> {
    AssociatedData {
        record: grant,
        field: "means",
        generation: lineage,
    }
}

pub(super) fn refresh_belongs(grant: &str, generation: u64) -> AssociatedData<'_> {
    AssociatedData {
        record: grant,
        field: "refresh_token",
        generation,
    }
}

pub(super) fn access_belongs(grant: &str, generation: u64) -> AssociatedData<'_> {
    AssociatedData {
        record: grant,
        field: "access_token",
        generation,
    }
}

impl rusqlite::ToSql for Sealed {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        (**self).to_sql()
    }
}

/// None where the seal is broken: that one secret is lost, the rest of its row is not.
fn open(sealer: &Sealer, belongs: AssociatedData<'_>, sealed: &[u8]) -> Option<SecretString> {
    let plain = sealer.open(belongs, sealed).ok()?;
    Some(std::str::from_utf8(&plain).ok()?.to_owned().into())
}

/// A grant with what its transitions need.
pub(super) fn grant_record(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<GrantRecord> {
    let refused: Option<Vec<u8>> = row.get("refused")?;
    Ok(GrantRecord {
        grant: grant(row, sealer)?,
        suspects: row.get("suspects")?,
        refused: refused.and_then(repeated_refusal),
    })
}

/// None if it can't be read.
fn repeated_refusal(kept: Vec<u8>) -> Option<RepeatedRefusal> {
    let kept = String::from_utf8(kept).ok()?;
    let (since, words) = kept.split_once('\n')?;
    Some(RepeatedRefusal {
        since: since.parse().ok()?,
        words: words.to_owned(),
    })
}

/// A grant with the access token that the same row carries (a left join).
fn grant(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<Grant> {
    let id: String = row.get("id")?;
    let refresh = refresh_token(row, sealer, &id)?;
    let access = access_token(row, sealer, &id)?;
    let (grant_material, subject_binding) =
        (grant_material(row, sealer, &id)?, subject_binding(row)?);
    Ok(Grant {
        issuer: Issuer::new(row.get::<_, String>("issuer")?),
        client_id: ClientId::new(row.get::<_, String>("client_id")?),
        lineage: Lineage(number("lineage", row.get("lineage")?)?),
        generation: Generation(number("generation", row.get("generation")?)?),
        lifecycle: match lifecycle(row)? {
            GrantLifecycle::Active if refresh.is_none() && has_refresh_token(row)? => {
                secret_lost(access.as_ref())
            }
            GrantLifecycle::Active if grant_material.is_none() => secret_lost(access.as_ref()),
            lifecycle => lifecycle,
        },
        claim: claim(row)?,
        grant_type: GrantType::parse(&row.get::<_, String>("grant_type")?)
            .ok_or_else(|| impossible("grant_type"))?,
        standby: standby(row, sealer, &id)?,
        rotate_by: optional_timestamp("rotate_by", row)?,
        probed: optional_timestamp("probed", row)?,
        // Without its key a bound token is good for nothing.
        access: access.filter(|_| grant_material.is_some() || subject_binding.bound_to.is_none()),
        subject_binding,
        grant_material: grant_material.unwrap_or_default(),
        refresh,
        id: GrantId::new(id),
    })
}

/// What can't be read is as good as not known: it is learned again.
fn subject_binding(row: &Row<'_>) -> rusqlite::Result<SubjectBinding> {
    let text: Option<String> = row.get("mandate")?;
    let known = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(known.unwrap_or_default())
}

pub(super) fn subject_binding_text(subject_binding: &SubjectBinding) -> String {
    serde_json::to_string(subject_binding).unwrap_or_default()
}

/// None if they are there and can't be opened: without them the grant can't be renewed, or its tokens can't be shown.
fn grant_material(
    row: &Row<'_>,
    sealer: &Sealer,
    id: &str,
) -> rusqlite::Result<Option<GrantMaterial>> {
    let Some(sealed) = row.get::<_, Option<Vec<u8>>>("means")? else {
        return Ok(Some(GrantMaterial::default()));
    };
    let lineage = number("lineage", row.get("lineage")?)?;
    Ok(open(sealer, grant_material_belongs(id, lineage), &sealed)
        .and_then(|text| GrantMaterial::read(&text)))
}

fn has_refresh_token(row: &Row<'_>) -> rusqlite::Result<bool> {
    Ok(row.get::<_, Option<Vec<u8>>>("refresh_token")?.is_some())
}

/// A stored refresh token that can't be opened: a person must sign in again. Other grants are unharmed.
fn secret_lost(access: Option<&AccessToken>) -> GrantLifecycle {
    GrantLifecycle::ReauthorizationRequired {
        reason: ReauthorizeReason::SecretLost,
        since: access.map_or(Timestamp::UNIX_EPOCH, |token| token.issued.wall),
    }
}

/// One that can't be opened is as good as none: it only spares a person a hurry.
fn standby(row: &Row<'_>, sealer: &Sealer, id: &str) -> rusqlite::Result<Option<StandbyKey>> {
    let Some(sealed) = row.get::<_, Option<Vec<u8>>>("standby_key")? else {
        return Ok(None);
    };
    let generation = number("standby_generation", row.get("standby_generation")?)?;
    let until = timestamp("standby_until", row.get("standby_until")?)?;
    let secret = open(sealer, standby_belongs(id, generation), &sealed);
    let refused = optional_timestamp("standby_refused", row)?;
    Ok(secret.map(|secret| StandbyKey {
        secret,
        generation: Generation(generation),
        until,
        refused,
    }))
}

fn lifecycle(row: &Row<'_>) -> rusqlite::Result<GrantLifecycle> {
    let word: String = row.get("lifecycle")?;
    let reason: Option<String> = row.get("reason")?;
    let since: Option<i64> = row.get("lifecycle_since")?;
    let since = since
        .map(|millis| timestamp("lifecycle_since", millis))
        .transpose()?;
    match (word.as_str(), reason.as_deref(), since) {
        ("active", None, _) => Ok(GrantLifecycle::Active),
        ("revoked", _, Some(since)) => Ok(GrantLifecycle::Revoked { since }),
        ("reauthorization_required", Some(reason), Some(since)) => {
            let reason = ReauthorizeReason::parse(reason).ok_or_else(|| impossible("reason"))?;
            Ok(GrantLifecycle::ReauthorizationRequired { reason, since })
        }
        ("suspended", Some(reason), Some(since)) => {
            let reason = SuspendReason::parse(reason).ok_or_else(|| impossible("reason"))?;
            Ok(GrantLifecycle::Suspended { reason, since })
        }
        _ => Err(impossible("lifecycle")),
    }
}

fn claim(row: &Row<'_>) -> rusqlite::Result<Option<Claim>> {
    let Some(attempt) = row.get::<_, Option<String>>("claim_attempt")? else {
        return Ok(None);
    };
    let kind: Option<String> = row.get("claim_unknown")?;
    let phase = match kind {
        None => ClaimPhase::Spending,
        Some(kind) => ClaimPhase::Unknown {
            kind: UnknownKind::parse(&kind).ok_or_else(|| impossible("claim_unknown"))?,
            since: moment(
                "claim_unknown_since",
                &row.get::<_, String>("claim_unknown_since")?,
            )?,
        },
    };
    let count = number("claim_number", row.get("claim_number")?)?;
    Ok(Some(Claim {
        attempt: AttemptId::new(attempt),
        number: u32::try_from(count).map_err(|_range| impossible("claim_number"))?,
        owner: OwnerId::new(row.get::<_, String>("claim_owner")?),
        since: moment("claim_since", &row.get::<_, String>("claim_since")?)?,
        phase,
    }))
}

fn refresh_token(
    row: &Row<'_>,
    sealer: &Sealer,
    grant: &str,
) -> rusqlite::Result<Option<RefreshToken>> {
    let Some(sealed) = row.get::<_, Option<Vec<u8>>>("refresh_token")? else {
        return Ok(None);
    };
    let generation = number("refresh_generation", row.get("refresh_generation")?)?;
    let expires: Option<i64> = row.get("refresh_expires")?;
    let Some(secret) = open(sealer, refresh_belongs(grant, generation), &sealed) else {
        return Ok(None);
    };
    Ok(Some(RefreshToken {
        secret,
        expires_at: expires
            .map(|at| timestamp("refresh_expires", at))
            .transpose()?,
    }))
}

fn access_token(
    row: &Row<'_>,
    sealer: &Sealer,
    grant: &str,
) -> rusqlite::Result<Option<AccessToken>> {
    let Some(sealed) = row.get::<_, Option<Vec<u8>>>("a_secret")? else {
        return Ok(None);
    };
    let generation = number("a_generation", row.get("a_generation")?)?;
    let source: String = row.get("a_lifetime_source")?;
    let Some(secret) = open(sealer, access_belongs(grant, generation), &sealed) else {
        return Ok(None);
    };
    Ok(Some(AccessToken {
        secret,
        lineage: Lineage(number("a_lineage", row.get("a_lineage")?)?),
        generation: Generation(generation),
        issued: moment("a_issued", &row.get::<_, String>("a_issued")?)?,
        lifetime: Duration::from_millis(number("a_lifetime", row.get("a_lifetime")?)?),
        lifetime_source: LifetimeSource::parse(&source)
            .ok_or_else(|| impossible("a_lifetime_source"))?,
        scope: row.get::<_, Option<String>>("a_scope")?.map(Scope::new),
        resource: row
            .get::<_, Option<String>>("a_resource")?
            .map(Resource::new),
        after_rejection: row.get("a_after_rejection")?,
        refresh_in: row
            .get::<_, Option<i64>>("a_refresh_in")?
            .and_then(|millis| Some(Duration::from_millis(u64::try_from(millis).ok()?))),
    }))
}

pub(super) fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let record: String = row.get("record")?;
    Ok(Incident {
        id: IncidentId::new(row.get::<_, String>("id")?),
        record: serde_json::from_str(&record).map_err(|_json| impossible("record"))?,
        notified: row.get::<_, Option<i64>>("notified")?.is_some(),
    })
}
