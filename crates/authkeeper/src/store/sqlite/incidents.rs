//! Incidents.

use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, params};

use crate::{
    model::{ConnectionName, Event, Incident, IncidentId, Record},
    store::{
        NewIncident, Result,
        sqlite::{
            SqliteStore,
            rows::{self, millis, stored},
            statement::audit,
        },
    },
};

/// The connection itself, and those that live on its grant.
macro_rules! on_its_grant {
    () => {
        "(SELECT ?1 UNION SELECT o.name FROM connection c JOIN connection o ON o.grant_id = c.grant_id WHERE c.name = ?1)"
    };
}

pub(super) fn keep_incident(
    sql: &Sqlite,
    incident: &NewIncident,
) -> rusqlite::Result<(Incident, bool)> {
    let told = &incident.record;
    let record = serde_json::to_value(told).unwrap_or_default();
    let inserted = sql.execute(
        "INSERT OR IGNORE INTO trouble (id, connection, lineage, event, reason, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            incident.id.as_str(),
            told.connection,
            stored(incident.lineage.0),
            told.event.as_str(),
            told.reason,
            record.to_string(),
        ],
    )?;
    if inserted == 1 {
        audit(sql, told.ts, &record)?;
    }
    let kept = sql.query_row(
        "SELECT * FROM trouble WHERE connection = ?1 AND lineage = ?2 AND event = ?3 AND reason = ?4
            AND ended IS NULL",
        params![told.connection, stored(incident.lineage.0), told.event.as_str(), told.reason],
        rows::incident,
    )?;
    Ok((kept, inserted == 1))
}

/// What is over for a grant is over for all that live on it.
pub(super) fn end_incidents_of_all(
    sql: &Sqlite,
    connection: &str,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let end = concat!(
        "UPDATE trouble SET ended = ?2 WHERE ended IS NULL AND connection IN ",
        on_its_grant!()
    );
    sql.execute(end, params![connection, millis(at)]).map(drop)
}

pub(super) fn end_incidents(sql: &Sqlite, connection: &str, at: Timestamp) -> rusqlite::Result<()> {
    let end = "UPDATE trouble SET ended = ?2 WHERE connection = ?1 AND ended IS NULL";
    sql.execute(end, params![connection, millis(at)])?;
    Ok(())
}

impl SqliteStore {
    pub(super) async fn amend_incident(&self, id: &IncidentId, record: &Record) -> Result<()> {
        let (id, record) = (id.clone(), serde_json::to_value(record).unwrap_or_default());
        self.write(move |sql| {
            let amend = "UPDATE trouble SET record = ?2 WHERE id = ?1 AND ended IS NULL";
            sql.execute(amend, params![id.as_str(), record.to_string()])
                .map(drop)
        })
        .await
    }

    pub(super) fn is_open(&self, connection: &ConnectionName, event: Event) -> Result<bool> {
        self.read(|sql| {
            let open = "SELECT EXISTS (SELECT 1 FROM trouble WHERE connection = ?1 AND event = ?2 AND ended IS NULL)";
            let of = [connection.as_str(), event.as_str()];
            sql.prepare_cached(open)?.query_row(of, |row| row.get(0))
        })
    }

    pub(super) fn incidents(&self) -> Result<Vec<Incident>> {
        self.read(|sql| {
            let mut open =
                sql.prepare("SELECT * FROM trouble WHERE ended IS NULL ORDER BY rowid")?;
            open.query_map([], rows::incident)?.collect()
        })
    }

    pub(super) async fn end_incident(&self, id: &IncidentId, at: Timestamp) -> Result<()> {
        let id = id.clone();
        self.write(move |sql| {
            let end = "UPDATE trouble SET ended = ?2 WHERE id = ?1 AND ended IS NULL";
            sql.execute(end, params![id.as_str(), millis(at)]).map(drop)
        })
        .await
    }

    pub(super) async fn end_incidents(
        &self,
        connection: &ConnectionName,
        at: Timestamp,
    ) -> Result<()> {
        // Every accepted refresh ends them, and mostly there are none: that is no commit.
        let any: bool = self.read(|sql| {
            let any = concat!(
                "SELECT EXISTS (SELECT 1 FROM trouble WHERE ended IS NULL AND connection IN ",
                on_its_grant!(),
                ")"
            );
            let mut any = sql.prepare_cached(any)?;
            any.query_row([connection.as_str()], |row| row.get(0))
        })?;
        if !any {
            return Ok(());
        }
        let connection = connection.clone();
        self.write(move |sql| end_incidents_of_all(sql, connection.as_str(), at))
            .await
    }

    pub(super) async fn claim_notification(&self, id: &IncidentId, at: Timestamp) -> Result<bool> {
        let id = id.clone();
        self.write(move |sql| {
            let take = "UPDATE trouble SET notified = ?2 WHERE id = ?1 AND notified IS NULL AND ended IS NULL";
            Ok(sql.execute(take, params![id.as_str(), millis(at)])? == 1)
        })
        .await
    }
}
