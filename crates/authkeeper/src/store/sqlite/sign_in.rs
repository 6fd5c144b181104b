//! What a sign-in writes, in one step.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use super::{
    SqliteStore, clients,
    incidents::end_incidents_of_all,
    pending::drop_pending,
    refusals,
    rows::{self, millis, stored},
    statement::audit,
    step_ups,
    tokens::{SealedRefresh, put_access},
};
use crate::{
    model::{
        AccessToken, ClientId, Connection, ConnectionName, Generation, Grant, GrantId,
        GrantLifecycle, Issuer, Lineage, Provider, SubjectBinding,
    },
    store::{Obtained, Result, SignedIn, may_share},
    vault::seal,
};

/// Where a sign-in goes, as it was when it was looked up.
#[derive(Clone, PartialEq, Eq)]
struct PriorState {
    /// The grant it goes to; none makes a new one.
    found: Option<TargetGrant>,
    /// How far the connection was: no number of it is given out twice, whatever grant it lives on.
    reached: Option<(u64, u64)>,
}

/// The grant that a sign-in goes to, as it was when it was looked up.
#[derive(Clone, PartialEq, Eq)]
struct TargetGrant {
    grant: GrantId,
    lineage: u64,
    generation: u64,
    /// Another connection holds the very token that was brought: nothing of the grant is changed.
    joins: bool,
    /// Whether it may be used, and who is spending its refresh token.
    state: (String, Option<String>),
    /// By which the refresh token is known that it began with.
    first_mark: Option<Vec<u8>>,
}

/// What becomes of the refresh token that the grant held before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeptRefresh {
    /// It goes: the sign-in brought one, or it is of no use.
    No,
    /// It goes on, unspent, in the new lineage.
    Unspent,
    /// An attempt may be spending it: its lineage, its generation and its claim stay, so that what comes of it is adopted.
    Claimed,
}

impl KeptRefresh {
    fn of(held: Option<&Grant>) -> Self {
        match held {
            None => Self::No,
            Some(held) if held.claim.is_none() => Self::Unspent,
            Some(_) => Self::Claimed,
        }
    }
}

/// A sign-in whose secrets are sealed for the grant and the generation it goes to.
struct SealedSignIn {
    signed_in: SignedIn,
    mark: Option<Vec<u8>>,
    before: PriorState,
    grant: GrantId,
    lineage: Lineage,
    generation: Generation,
    kept: KeptRefresh,
    subject_binding: SubjectBinding,
    client: Option<(Provider, clients::SealedClient)>,
    refresh: Option<SealedRefresh>,
    access: Option<(seal::Sealed, AccessToken)>,
    grant_material: Option<seal::Sealed>,
}

impl SqliteStore {
    /// The row's id and generation are part of what a secret is sealed to, so they are looked up first and the write
    /// checks that they still hold: two sign-ins at once are adopted one after the other.
    pub(super) async fn adopt(&self, signed_in: SignedIn) -> Result<Grant> {
        loop {
            let refresh = signed_in.obtained.refresh();
            let mark = refresh.map(|token| self.mark(&token.secret));
            let before = self.read(|sql| before(sql, &signed_in, mark.as_deref()))?;
            let own = before.found.as_ref().filter(|found| !found.joins);
            let held = match own {
                Some(own) => self.grant(&own.grant).await?,
                None => None,
            };
            let held = held.filter(|held| signed_in.kept_refresh(held).is_some());
            let sealed = self.seal_sign_in(signed_in.clone(), mark, before, held.as_ref());
            let id = sealed.grant.clone();
            let adopted = self.write(move |sql| sealed.put(sql)).await?;
            if adopted && let Some(grant) = self.grant(&id).await? {
                return Ok(grant);
            }
        }
    }

    /// `held` is the grant whose refresh token is kept.
    fn seal_sign_in(
        &self,
        signed_in: SignedIn,
        mark: Option<Vec<u8>>,
        before: PriorState,
        held: Option<&Grant>,
    ) -> SealedSignIn {
        let (lineage, generation) = before.reached.unwrap_or_default();
        let (grant, lineage, generation) = match &before.found {
            Some(found) => (found.grant.clone(), found.lineage, found.generation),
            None => (signed_in.new_grant.clone(), lineage, generation),
        };
        let (lineage, generation) = (Lineage(lineage), Generation(generation));
        let kept = KeptRefresh::of(held);
        let (lineage, generation) = match kept {
            KeptRefresh::Claimed => (lineage, generation),
            _ => (lineage.max(signed_in.after).next(), generation.next()),
        };
        let resource = signed_in.connection.resource.clone();
        let access = signed_in.obtained.access(lineage, generation, resource);
        let old = held.and_then(|held| signed_in.kept_refresh(held));
        let refresh = signed_in.obtained.refresh().or(old);
        let client = signed_in.client.as_ref();
        let grant_material = signed_in.grant_material.write();
        let belongs = rows::grant_material_belongs(grant.as_str(), lineage.0);
        SealedSignIn {
            grant_material: grant_material
                .map(|grant_material| self.seal(belongs, &grant_material)),
            client: client.map(|(provider, client)| (provider.clone(), self.seal_client(client))),
            refresh: refresh.map(|token| self.seal_refresh(&grant, generation, token)),
            access: access.map(|token| (self.seal_access(&grant, &token), token)),
            subject_binding: signed_in.subject_binding(held),
            kept,
            signed_in,
            mark,
            before,
            grant,
            lineage,
            generation,
        }
    }
}

impl SealedSignIn {
    /// False if the grant has moved on since it was looked up.
    fn put(&self, sql: &Sqlite) -> rusqlite::Result<bool> {
        let new = &self.signed_in;
        if before(sql, new, self.mark.as_deref())? != self.before {
            return Ok(false);
        }
        if let Some((provider, client)) = &self.client {
            if clients::provider(sql, &provider.issuer, &new.connection.client_id)?.is_none() {
                clients::put_provider(sql, provider, &new.connection.client_id)?;
            }
            client.put_if_absent(sql)?;
        }
        drop_pending(sql, new.connection.name.as_str())?;
        step_ups::signed_in(sql, &new.connection.name)?;
        refusals::forget(sql, &self.grant)?;
        let name = &new.connection.name;
        retire_replaced(sql, name, &self.grant, new.at)?;
        put_connection(sql, &new.connection, &self.grant)?;
        let lineage = match &self.before.found {
            Some(found) if found.joins => {
                self.join(sql)?;
                found.lineage
            }
            _ => {
                self.put_grant(sql)?;
                self.lineage.0
            }
        };
        end_incidents_of_all(sql, name.as_str(), new.at)?;
        let mut event = serde_json::json!({
            "event": "signed_in", "connection": name.as_str(), "grant_type": new.grant_type.as_str(),
            "principal": new.connection.principal.as_str(), "lineage": lineage,
        });
        if self.kept != KeptRefresh::No {
            event["refresh_token"] = "kept".into();
        }
        audit(sql, new.at, &event)?;
        Ok(true)
    }

    fn put_grant(&self, sql: &Sqlite) -> rusqlite::Result<()> {
        if self.kept != KeptRefresh::Claimed {
            self.put_row(sql)?;
        }
        match &self.access {
            Some((sealed, access)) => put_access(sql, &self.grant, sealed, access),
            None => drop_access(sql, &self.grant),
        }
    }

    fn put_row(&self, sql: &Sqlite) -> rusqlite::Result<()> {
        let (new, refresh) = (&self.signed_in, self.refresh.as_ref());
        let suspended = match &new.lifecycle {
            GrantLifecycle::Suspended { reason, since } => Some((*reason, *since)),
            _ => None,
        };
        // The token that the grant began with counts from the sign-in that brought it.
        let found = self
            .before
            .found
            .as_ref()
            .filter(|_| self.kept != KeptRefresh::No);
        let first = found.and_then(|found| found.first_mark.as_ref());
        let mark = refresh.map(|refresh| &refresh.mark);
        sql.execute(
            "INSERT OR REPLACE INTO grant_family (id, issuer, client_id, lineage, generation, lifecycle,
                refresh_token, refresh_generation, refresh_expires, grant_type, reason, lifecycle_since, rotate_by,
                refresh_mark, first_mark, mandate, means)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            params![
                self.grant.as_str(),
                new.connection.issuer.as_str(),
                new.connection.client_id.as_str(),
                stored(self.lineage.0),
                stored(self.generation.0),
                new.lifecycle.as_str(),
                refresh.map(|refresh| &refresh.sealed),
                refresh.map(|refresh| refresh.generation),
                refresh.and_then(|refresh| refresh.expires),
                new.grant_type.as_str(),
                suspended.map(|(reason, _)| reason.as_str()),
                suspended.map(|(_, since)| millis(since)),
                new.rotate_by.map(millis),
                mark,
                first.or(mark),
                rows::subject_binding_text(&self.subject_binding),
                self.grant_material,
            ],
        )?;
        Ok(())
    }

    /// The confirmation that no other program holds the token covers the whole grant.
    fn join(&self, sql: &Sqlite) -> rusqlite::Result<()> {
        if self.signed_in.lifecycle == GrantLifecycle::Active {
            confirm_sole_copy(sql, &self.grant, self.signed_in.at)?;
        }
        Ok(())
    }
}

/// An imported grant may be spent from now on.
pub(super) fn confirm_sole_copy(
    sql: &Sqlite,
    grant: &GrantId,
    at: Timestamp,
) -> rusqlite::Result<bool> {
    let confirm =
        "UPDATE grant_family SET lifecycle = 'active', reason = NULL, lifecycle_since = NULL
        WHERE id = ?1 AND lifecycle = 'suspended' AND reason = 'second_copy'";
    let confirmed = sql.execute(confirm, [grant.as_str()])? == 1;
    if confirmed {
        let event = serde_json::json!({"event": "sole_copy_confirmed", "grant": grant.as_str()});
        audit(sql, at, &event)?;
    }
    Ok(confirmed)
}

/// An import may bring no access token; one of the lineage before it is not this grant's any more.
fn drop_access(sql: &Sqlite, grant: &GrantId) -> rusqlite::Result<()> {
    let drop_all = "DELETE FROM access_token WHERE grant_id = ?1";
    sql.execute(drop_all, [grant.as_str()]).map(drop)
}

fn put_connection(sql: &Sqlite, connection: &Connection, grant: &GrantId) -> rusqlite::Result<()> {
    sql.execute(
        "INSERT INTO connection (name, principal, url, resource, issuer, client_id, scope, grant_id, created,
            issuer_given, internal, provider, presentation, check_url)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT DO UPDATE SET principal = ?2, url = ?3, resource = ?4, issuer = ?5, client_id = ?6,
            scope = ?7, grant_id = ?8, issuer_given = ?10, internal = ?11, provider = ?12, presentation = ?13,
            check_url = ?14",
        params![
            connection.name.as_str(),
            connection.principal.as_str(),
            connection.url,
            connection.resource.as_ref().map(crate::model::Resource::as_str),
            connection.issuer.as_str(),
            connection.client_id.as_str(),
            connection.scope.as_ref().map(crate::model::Scope::as_str),
            grant.as_str(),
            millis(connection.created),
            connection.issuer_given,
            connection.internal,
            connection.provider,
            connection.presentation.to_string(),
            connection.check_url,
        ],
    )?;
    Ok(())
}

fn before(sql: &Sqlite, signed_in: &SignedIn, mark: Option<&[u8]>) -> rusqlite::Result<PriorState> {
    let select =
        "SELECT g.lineage, g.generation FROM grant_family g JOIN connection c ON c.grant_id = g.id
        WHERE c.name = ?1";
    let reached = sql.query_row(select, [signed_in.connection.name.as_str()], |row| {
        let lineage = rows::number("lineage", row.get(0)?)?;
        let generation = rows::number("generation", row.get(1)?)?;
        Ok((lineage, generation))
    });
    Ok(PriorState {
        found: grant_for_sign_in(sql, signed_in, mark)?,
        reached: reached.optional()?,
    })
}

/// The grant a sign-in goes to: one that holds the very token that was brought, else the connection's own, unless that
/// belongs to another client or is a tombstone.
fn grant_for_sign_in(
    sql: &Sqlite,
    signed_in: &SignedIn,
    mark: Option<&[u8]>,
) -> rusqlite::Result<Option<TargetGrant>> {
    let held = match mark {
        Some(mark) => grant_to_join(sql, signed_in, mark)?,
        None => None,
    };
    match held {
        None => own_grant(sql, signed_in),
        held => Ok(held),
    }
}

/// None if others live on it whose token would be another one.
fn own_grant(sql: &Sqlite, signed_in: &SignedIn) -> rusqlite::Result<Option<TargetGrant>> {
    let new = &signed_in.connection;
    let select = "SELECT o.* FROM connection c JOIN connection o ON o.grant_id = c.grant_id
        WHERE c.name = ?1 AND o.name <> ?1";
    let mut others = sql.prepare(select)?;
    let others = others.query_map([new.name.as_str()], rows::connection)?;
    for other in others {
        if !may_share(&other?, new) {
            return Ok(None);
        }
    }
    sql.query_row(
        "SELECT g.id, g.lineage, g.generation, g.lifecycle, g.claim_attempt, g.first_mark
         FROM grant_family g JOIN connection c ON c.grant_id = g.id
         WHERE c.name = ?1 AND g.issuer = ?2 AND g.client_id = ?3 AND g.lifecycle <> 'revoked'",
        params![
            signed_in.connection.name.as_str(),
            signed_in.connection.issuer.as_str(),
            signed_in.connection.client_id.as_str(),
        ],
        |row| {
            let lineage = rows::number("lineage", row.get(1)?)?;
            let generation = rows::number("generation", row.get(2)?)?;
            Ok(TargetGrant {
                grant: GrantId::new(row.get::<_, String>(0)?),
                lineage,
                generation,
                joins: false,
                state: (row.get(3)?, row.get(4)?),
                first_mark: row.get(5)?,
            })
        },
    )
    .optional()
}

fn grant_to_join(
    sql: &Sqlite,
    signed_in: &SignedIn,
    mark: &[u8],
) -> rusqlite::Result<Option<TargetGrant>> {
    let new = &signed_in.connection;
    let holders = holders(sql, (&new.issuer, &new.client_id), mark)?;
    // What a sign-in brings to its own connection is new, whatever the token; an import over it may bring one that is spent.
    let imported = matches!(signed_in.obtained, Obtained::RefreshToken(_));
    let mut others = holders
        .into_iter()
        .filter(|holder| imported || holder.name != new.name);
    let other = others.find(|holder| may_share(holder, new));
    let Some(grant) = other.and_then(|other| other.grant) else {
        return Ok(None);
    };
    let select = "SELECT lineage, generation, lifecycle, claim_attempt, first_mark FROM grant_family WHERE id = ?1";
    sql.query_row(select, [grant.as_str()], |row| {
        let state: (String, Option<String>) = (row.get(2)?, row.get(3)?);
        // A person has signed in, and the token that came is one that had been refused: it lives.
        let revives = state.0 == "reauthorization_required"
            && signed_in.lifecycle == GrantLifecycle::Active
            && matches!(signed_in.obtained, Obtained::Tokens(_));
        Ok(Some(TargetGrant {
            lineage: rows::number("lineage", row.get(0)?)?,
            generation: rows::number("generation", row.get(1)?)?,
            joins: !revives,
            state,
            first_mark: row.get(4)?,
            grant: grant.clone(),
        }))
    })
}

/// The connections over whose grants a refresh token is held, or which it began, by its mark: spent a second time it could
/// cost the grant that it began.
pub(super) fn holders(
    sql: &Sqlite,
    (issuer, client): (&Issuer, &ClientId),
    mark: &[u8],
) -> rusqlite::Result<Vec<Connection>> {
    let mut select = sql.prepare(
        "SELECT c.* FROM connection c JOIN grant_family g ON g.id = c.grant_id
         WHERE (g.refresh_mark = ?1 OR g.first_mark = ?1) AND g.issuer = ?2 AND g.client_id = ?3 AND g.lifecycle <> 'revoked' ORDER BY c.name",
    )?;
    let with = params![mark, issuer.as_str(), client.as_str()];
    select.query_map(with, rows::connection)?.collect()
}

/// A sign-in as another client makes a new grant; the one it replaces is over, and its secrets go.
fn retire_replaced(
    sql: &Sqlite,
    connection: &ConnectionName,
    new: &GrantId,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let old: Option<String> = sql
        .query_row(
            "SELECT grant_id FROM connection c WHERE name = ?1 AND grant_id <> ?2
                AND NOT EXISTS (SELECT 1 FROM connection o WHERE o.grant_id = c.grant_id AND o.name <> ?1)",
            [connection.as_str(), new.as_str()],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(old) = old {
        let revoke =
            "UPDATE grant_family SET lifecycle = 'revoked', reason = NULL, lifecycle_since = ?2,
            refresh_token = NULL, refresh_generation = NULL, refresh_mark = NULL, first_mark = NULL, standby_key = NULL, means = NULL WHERE id = ?1";
        sql.execute(revoke, params![old, millis(at)])?;
        sql.execute("DELETE FROM access_token WHERE grant_id = ?1", [old])?;
    }
    Ok(())
}
