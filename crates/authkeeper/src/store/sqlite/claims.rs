//! Claims on the right to refresh a grant.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, OptionalExtension as _, params};

use crate::{
    model::{AttemptId, Claim, GrantId, Moment, UnknownKind},
    store::{
        Result, Spend,
        sqlite::{
            SqliteStore,
            rows::{millis, stored},
            statement::run,
        },
    },
};

/// From idle to spending, in one step.
pub(super) fn put_claim(
    sql: &Sqlite,
    lifecycle: &str,
    spend: &Spend,
    claim: &Claim,
) -> rusqlite::Result<bool> {
    let claimed = run(
        sql,
        "UPDATE grant_family SET claim_attempt = ?4, claim_number = ?5, claim_owner = ?6, claim_since = ?7,
            claim_unknown = NULL, claim_unknown_since = NULL
         WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND lifecycle = ?8
            AND claim_attempt IS NULL
            AND (refresh_token IS NOT NULL OR grant_type IN ('client_credentials', 'jwt_bearer', 'id_jag'))",
        params![
            spend.grant.as_str(),
            stored(spend.lineage.0),
            stored(spend.generation.0),
            claim.attempt.as_str(),
            claim.number,
            claim.owner.as_str(),
            claim.since.to_string(),
            lifecycle,
        ],
    )?;
    Ok(claimed == 1)
}

impl SqliteStore {
    pub(super) async fn claim(&self, spend: &Spend, claim: &Claim) -> Result<bool> {
        self.check_home(&spend.grant)?;
        let (spend, claim) = (spend.clone(), claim.clone());
        self.write(move |sql| put_claim(sql, "active", &spend, &claim))
            .await
    }

    pub(super) async fn claim_probe(
        &self,
        spend: &Spend,
        claim: &Claim,
        at: Timestamp,
    ) -> Result<bool> {
        self.check_home(&spend.grant)?;
        let (spend, claim) = (spend.clone(), claim.clone());
        self.write(move |sql| {
            let claimed = put_claim(sql, "reauthorization_required", &spend, &claim)?;
            if claimed {
                let probed = "UPDATE grant_family SET probed = ?2 WHERE id = ?1";
                sql.execute(probed, params![spend.grant.as_str(), millis(at)])?;
            }
            Ok(claimed)
        })
        .await
    }

    pub(super) async fn count_suspect(&self, grant: &GrantId) -> Result<u32> {
        let grant = grant.clone();
        self.write(move |sql| {
            let count =
                "UPDATE grant_family SET suspects = suspects + 1 WHERE id = ?1 RETURNING suspects";
            let counted = sql.query_row(count, [grant.as_str()], |row| row.get(0));
            Ok(counted.optional()?.unwrap_or_default())
        })
        .await
    }

    pub(super) async fn take_over(
        &self,
        spend: &Spend,
        seen: &AttemptId,
        claim: &Claim,
    ) -> Result<bool> {
        self.check_home(&spend.grant)?;
        let (spend, seen, claim) = (spend.clone(), seen.clone(), claim.clone());
        self.write(move |sql| {
            let taken = run(
                sql,
                "UPDATE grant_family SET claim_attempt = ?5, claim_number = ?6, claim_owner = ?7, claim_since = ?8,
                    claim_unknown = NULL, claim_unknown_since = NULL
                 WHERE id = ?1 AND lineage = ?2 AND generation = ?3 AND lifecycle = 'active'
                    AND claim_attempt = ?4 AND claim_unknown IS NOT NULL",
                params![
                    spend.grant.as_str(),
                    stored(spend.lineage.0),
                    stored(spend.generation.0),
                    seen.as_str(),
                    claim.attempt.as_str(),
                    claim.number,
                    claim.owner.as_str(),
                    claim.since.to_string(),
                ],
            )?;
            Ok(taken == 1)
        })
        .await
    }

    pub(super) async fn release(&self, grant: &GrantId, attempt: &AttemptId) -> Result<bool> {
        let (grant, attempt) = (grant.clone(), attempt.clone());
        self.write(move |sql| {
            let release = "UPDATE grant_family SET claim_attempt = NULL, claim_number = NULL, claim_owner = NULL,
                claim_since = NULL, claim_unknown = NULL, claim_unknown_since = NULL
                WHERE id = ?1 AND claim_attempt = ?2 AND claim_unknown IS NULL";
            Ok(run(sql, release, [grant.as_str(), attempt.as_str()])? == 1)
        })
        .await
    }

    pub(super) async fn mark_unknown(
        &self,
        grant: &GrantId,
        attempt: &AttemptId,
        kind: UnknownKind,
        since: Moment,
    ) -> Result<bool> {
        let (grant, attempt) = (grant.clone(), attempt.clone());
        self.write(move |sql| {
            let mark = "UPDATE grant_family SET claim_unknown = ?3, claim_unknown_since = ?4
                WHERE id = ?1 AND claim_attempt = ?2 AND claim_unknown IS NULL";
            let with = params![
                grant.as_str(),
                attempt.as_str(),
                kind.as_str(),
                since.to_string()
            ];
            Ok(run(sql, mark, with)? == 1)
        })
        .await
    }
}
