//! Grants and the outcomes of their refreshes.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::{
    model::{AttemptId, Generation, Grant, GrantId, Lineage, ReauthorizeReason, RefreshToken},
    secret::SecretString,
    store::{
        Committed, Refreshed, Result, Spend,
        sqlite::{
            SqliteStore, refusals,
            rows::{self, millis, stored},
            statement::run,
            tokens::put_access,
        },
    },
};

pub(super) const SELECT_GRANT: &str = "SELECT g.*, a.secret AS a_secret, a.lineage AS a_lineage,
    a.generation AS a_generation, a.issued AS a_issued, a.lifetime AS a_lifetime,
    a.lifetime_source AS a_lifetime_source, a.scope AS a_scope, a.resource AS a_resource,
    a.after_rejection AS a_after_rejection, a.refresh_in AS a_refresh_in
    FROM grant_family g LEFT JOIN access_token a
    ON a.grant_id = g.id AND a.scope_key = '' AND a.resource_key = '' WHERE g.id = ?1";

impl SqliteStore {
    pub(super) fn grant(&self, id: &GrantId) -> Result<Option<Grant>> {
        self.read(|sql| {
            sql.prepare_cached(SELECT_GRANT)?
                .query_row([id.as_str()], |row| rows::grant(row, &self.sealer))
                .optional()
        })
    }

    pub(super) async fn keep_subject(
        &self,
        spend: &Spend,
        (attempt, shown): (&AttemptId, &SecretString),
        refresh: &RefreshToken,
    ) -> Result<bool> {
        let (spend, attempt, shown) = (spend.clone(), attempt.clone(), self.mark(shown));
        let refresh = self.seal_refresh(&spend.grant, spend.generation, refresh);
        self.write(move |sql| {
            let kept = run(
                sql,
                "UPDATE grant_family SET refresh_token = ?5, refresh_generation = ?6, refresh_expires = ?7, refresh_mark = ?8,
                    claim_unknown = CASE WHEN claim_attempt = ?4 THEN NULL ELSE claim_unknown END,
                    claim_unknown_since = CASE WHEN claim_attempt = ?4 THEN NULL ELSE claim_unknown_since END
                 WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND (claim_attempt = ?4 OR refresh_mark = ?9)
                    AND lifecycle <> 'revoked'",
                params![
                    spend.grant.as_str(),
                    stored(spend.lineage.0),
                    stored(spend.generation.0),
                    attempt.as_str(),
                    refresh.sealed,
                    refresh.generation,
                    refresh.expires,
                    refresh.mark,
                    shown,
                ],
            )?;
            Ok(kept == 1)
        })
        .await
    }

    pub(super) async fn commit_refresh(&self, refreshed: Refreshed) -> Result<Committed> {
        let Refreshed {
            spend,
            access,
            refresh,
            subject_binding,
            hold,
        } = refreshed;
        let next = access.generation;
        let sealed_access = self.seal_access(&spend.grant, &access);
        let refresh = refresh.map(|token| self.seal_refresh(&spend.grant, next, &token));
        self.write(move |sql| {
            let moved = run(
                sql,
                // It never leaves `suspended` or `revoked`, and it does leave `reauthorization_required`: a late answer
                // proves that the grant lives.
                "UPDATE grant_family SET generation = ?4, suspects = 0, probed = NULL,
                    refresh_token = COALESCE(?5, refresh_token),
                    refresh_mark = COALESCE(?8, refresh_mark),
                    refresh_generation = COALESCE(?6, refresh_generation),
                    refresh_expires = CASE WHEN ?5 IS NULL THEN refresh_expires ELSE ?7 END,
                    lifecycle_since = COALESCE(?11, CASE lifecycle WHEN 'suspended' THEN lifecycle_since END),
                    reason = COALESCE(?10, CASE lifecycle WHEN 'suspended' THEN reason END),
                    lifecycle = CASE WHEN ?10 IS NOT NULL OR lifecycle = 'suspended' THEN 'suspended' ELSE 'active' END,
                    mandate = ?9,
                    claim_attempt = NULL, claim_number = NULL, claim_owner = NULL, claim_since = NULL,
                    claim_unknown = NULL, claim_unknown_since = NULL
                 WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND lifecycle <> 'revoked'",
                params![
                    spend.grant.as_str(),
                    stored(spend.lineage.0),
                    stored(spend.generation.0),
                    stored(next.0),
                    refresh.as_ref().map(|refresh| &refresh.sealed),
                    refresh.as_ref().map(|refresh| refresh.generation),
                    refresh.as_ref().and_then(|refresh| refresh.expires),
                    refresh.as_ref().map(|refresh| &refresh.mark),
                    rows::subject_binding_text(&subject_binding),
                    hold.map(|(reason, _)| reason.as_str()),
                    hold.map(|(_, since)| millis(since)),
                ],
            )?;
            if moved == 1 {
                put_access(sql, &spend.grant, &sealed_access, &access)?;
                refusals::forget(sql, &spend.grant)?;
                return Ok(Committed::Yes);
            }
            let revoked = "SELECT lifecycle = 'revoked' FROM grant_family WHERE id = ?1";
            let revoked = sql.query_row(revoked, [spend.grant.as_str()], |row| row.get(0)).optional()?;
            Ok(if revoked == Some(true) { Committed::Revoked } else { Committed::Superseded })
        })
        .await
    }

    pub(super) async fn require_sign_in(
        &self,
        grant: &GrantId,
        lineage: Lineage,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        let grant = grant.clone();
        self.write(move |sql| {
            let require =
                "UPDATE grant_family SET lifecycle = 'reauthorization_required', reason = ?3,
                lifecycle_since = ?4
                WHERE id = ?1 AND lineage = ?2 AND claim_attempt IS NULL AND lifecycle = 'active'";
            let with = params![
                grant.as_str(),
                stored(lineage.0),
                reason.as_str(),
                millis(at)
            ];
            Ok(sql.execute(require, with)? == 1)
        })
        .await
    }

    pub(super) async fn commit_refusal(
        &self,
        spend: &Spend,
        attempt: &AttemptId,
        reason: ReauthorizeReason,
        at: Timestamp,
    ) -> Result<bool> {
        let (spend, attempt) = (spend.clone(), attempt.clone());
        self.write(move |sql| {
            let refuse =
                "UPDATE grant_family SET lifecycle = 'reauthorization_required', reason = ?5,
                lifecycle_since = ?6, claim_attempt = NULL, claim_number = NULL, claim_owner = NULL,
                claim_since = NULL, claim_unknown = NULL, claim_unknown_since = NULL
                WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND claim_attempt = ?4
                    AND lifecycle = 'active'";
            let with = params![
                spend.grant.as_str(),
                stored(spend.lineage.0),
                stored(spend.generation.0),
                attempt.as_str(),
                reason.as_str(),
                millis(at),
            ];
            Ok(sql.execute(refuse, with)? == 1)
        })
        .await
    }

    pub(super) async fn retire_access(
        &self,
        grant: &GrantId,
        generation: Generation,
    ) -> Result<()> {
        let grant = grant.clone();
        self.write(move |sql| {
            let retire = "DELETE FROM access_token WHERE grant_id = ?1 AND generation = ?2";
            sql.execute(retire, params![grant.as_str(), stored(generation.0)])
                .map(drop)
        })
        .await
    }
}
