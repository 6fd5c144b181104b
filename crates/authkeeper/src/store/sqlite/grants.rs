//! Grants: the record of one, and what a change makes of it.

use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use crate::{
    model::{Claim, ClaimPhase, Grant, GrantChange, GrantChanged, GrantId, GrantLifecycle},
    store::{
        GrantRecord, Result, Store as _, StoreError,
        sqlite::{
            SqliteStore, refusals,
            row_sealer::RowSealer,
            rows::{self, millis, stored},
            statement::{audit, run},
            tokens::{put_access, put_refresh, put_standby},
        },
    },
    vault::seal::Sealer,
};

const SELECT_GRANT: &str = "SELECT g.*, a.secret AS a_secret, a.lineage AS a_lineage,
    a.generation AS a_generation, a.issued AS a_issued, a.lifetime AS a_lifetime,
    a.lifetime_source AS a_lifetime_source, a.scope AS a_scope, a.resource AS a_resource,
    a.after_rejection AS a_after_rejection, a.refresh_in AS a_refresh_in,
    (SELECT value FROM meta WHERE key = 'refused' || char(10) || g.id) AS refused
    FROM grant_family g LEFT JOIN access_token a
    ON a.grant_id = g.id AND a.scope_key = '' AND a.resource_key = '' WHERE g.id = ?1";

pub(super) fn record(
    sql: &Sqlite,
    id: &GrantId,
    sealer: &Sealer,
) -> rusqlite::Result<Option<GrantRecord>> {
    sql.prepare_cached(SELECT_GRANT)?
        .query_row([id.as_str()], |row| rows::grant_record(row, sealer))
        .optional()
}

impl SqliteStore {
    pub(super) fn read_grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        let record = self.read(|sql| record(sql, id, &self.seals.sealer))?;
        Ok(record.map(|record| record.grant))
    }

    pub(super) async fn change_grant(
        &self,
        id: &GrantId,
        change: GrantChange,
    ) -> Result<GrantChanged> {
        if change.spends() {
            self.check_home(id)?;
        }
        let (id, seals) = (id.clone(), self.seals.clone());
        self.write(move |sql| apply(sql, &seals, &id, &change))
            .await
    }

    /// A copy spends nothing that the original may spend too. Grants that are issued again spend nothing.
    fn check_home(&self, grant: &GrantId) -> Result<()> {
        if !self.is_copy() {
            return Ok(());
        }
        let grant = self.read_grant(grant)?;
        if grant.is_some_and(|grant| grant.is_issued_again()) {
            return Ok(());
        }
        let place = self.place();
        Err(StoreError::Copied { place })
    }
}

/// Reads, decides and writes, all in the transaction of `sql`.
pub(super) fn apply(
    sql: &Sqlite,
    seals: &RowSealer,
    id: &GrantId,
    change: &GrantChange,
) -> rusqlite::Result<GrantChanged> {
    let Some(held) = record(sql, id, &seals.sealer)? else {
        return Ok(GrantChanged {
            applied: false,
            record: None,
        });
    };
    let Some(after) = change.applied_to(&held) else {
        return Ok(GrantChanged {
            applied: false,
            record: Some(held),
        });
    };
    put_changed(sql, seals, (&held, &after))?;
    if let Some((at, event)) = change.audit(&after.grant) {
        audit(sql, at, &event)?;
    }
    Ok(GrantChanged {
        applied: true,
        record: Some(after),
    })
}

/// Writes what differs. A secret that stays keeps its seal, and one that can't be opened any more is not overwritten.
fn put_changed(
    sql: &Sqlite,
    seals: &RowSealer,
    (held, after): (&GrantRecord, &GrantRecord),
) -> rusqlite::Result<()> {
    let (old, new) = (&held.grant, &after.grant);
    put_state(sql, after)?;
    if !is_same_refresh(old, new) {
        put_refresh(sql, seals, new)?;
    }
    let access = |grant: &Grant| grant.access.as_ref().map(|token| token.generation);
    if access(old) != access(new) {
        put_access(sql, seals, new)?;
    }
    let standby = |grant: &Grant| grant.standby.as_ref().map(|key| key.generation);
    if standby(old) != standby(new) {
        put_standby(sql, seals, new)?;
    }
    match &after.refused {
        _ if held.refused == after.refused => Ok(()),
        Some(said) => refusals::put(sql, &new.id, said),
        None => refusals::forget(sql, &new.id),
    }
}

fn is_same_refresh(old: &Grant, new: &Grant) -> bool {
    match (&old.refresh, &new.refresh) {
        (Some(old), Some(new)) => old.is_same(new),
        (old, new) => old.is_none() && new.is_none(),
    }
}

/// All of the row that is no secret.
fn put_state(sql: &Sqlite, record: &GrantRecord) -> rusqlite::Result<()> {
    let grant = &record.grant;
    let (reason, since) = lifecycle_columns(&grant.lifecycle);
    let claim = grant.claim.as_ref();
    let unknown = claim.and_then(unknown);
    run(
        sql,
        "UPDATE grant_family SET generation = ?2, lifecycle = ?3, reason = ?4, lifecycle_since = ?5, rotate_by = ?6,
            probed = ?7, suspects = ?8, mandate = ?9, claim_attempt = ?10, claim_number = ?11, claim_owner = ?12,
            claim_since = ?13, claim_unknown = ?14, claim_unknown_since = ?15 WHERE id = ?1",
        params![
            grant.id.as_str(),
            stored(grant.generation.0),
            grant.lifecycle.as_str(),
            reason,
            since,
            grant.rotate_by.map(millis),
            grant.probed.map(millis),
            record.suspects,
            rows::subject_binding_text(&grant.subject_binding),
            claim.map(|claim| claim.attempt.as_str()),
            claim.map(|claim| claim.number),
            claim.map(|claim| claim.owner.as_str()),
            claim.map(|claim| claim.since.to_string()),
            unknown.as_ref().map(|(kind, _)| kind),
            unknown.as_ref().map(|(_, since)| since),
        ],
    )?;
    Ok(())
}

fn unknown(claim: &Claim) -> Option<(&'static str, String)> {
    match claim.phase {
        ClaimPhase::Spending => None,
        ClaimPhase::Unknown { kind, since } => Some((kind.as_str(), since.to_string())),
    }
}

/// Why, and since when.
pub(super) fn lifecycle_columns(lifecycle: &GrantLifecycle) -> (Option<&'static str>, Option<i64>) {
    match lifecycle {
        GrantLifecycle::Active => (None, None),
        GrantLifecycle::ReauthorizationRequired { reason, since } => {
            (Some(reason.as_str()), Some(millis(*since)))
        }
        GrantLifecycle::Suspended { reason, since } => {
            (Some(reason.as_str()), Some(millis(*since)))
        }
        GrantLifecycle::Revoked { since } => (None, Some(millis(*since))),
    }
}
