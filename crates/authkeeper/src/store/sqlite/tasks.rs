//! Runs and the calls that failed in them.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use crate::{
    model::{ConnectionName, FailedCall, TaskId},
    store::{
        CarriedCall, Result,
        sqlite::{
            SqliteStore,
            rows::{self, millis},
        },
    },
};

impl SqliteStore {
    pub(super) fn longest_run(&self) -> Result<Option<Duration>> {
        let longest: Option<i64> = self.read(|sql| {
            let select = "SELECT max(ended - began) FROM task WHERE ended IS NOT NULL";
            sql.query_row(select, [], |row| row.get(0))
        })?;
        let longest = longest.and_then(|millis| u64::try_from(millis).ok());
        Ok(longest.map(Duration::from_millis))
    }

    pub(super) async fn begin_task(
        &self,
        task: &TaskId,
        process: &str,
        at: Timestamp,
    ) -> Result<()> {
        let (task, process) = (task.clone(), process.to_owned());
        self.write(move |sql| {
            let begin = "INSERT INTO task (id, process, began) VALUES (?1, ?2, ?3)";
            sql.execute(begin, params![task.as_str(), process, millis(at)])
                .map(drop)
        })
        .await
    }

    pub(super) async fn end_task(&self, task: &TaskId, code: i32, at: Timestamp) -> Result<()> {
        let task = task.clone();
        self.write(move |sql| {
            let end = "UPDATE task SET ended = ?2, code = ?3 WHERE id = ?1";
            sql.execute(end, params![task.as_str(), millis(at), code])
                .map(drop)
        })
        .await
    }

    pub(super) fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>> {
        self.read(|sql| {
            let select = "SELECT id FROM task WHERE process = ?1 AND ended IS NULL ORDER BY rowid DESC LIMIT 1";
            let mut find = sql.prepare_cached(select)?;
            for process in processes {
                let found: Option<String> = find.query_row([process], |row| row.get(0)).optional()?;
                if let Some(id) = found {
                    return Ok(Some(TaskId::new(id)));
                }
            }
            Ok(None)
        })
    }

    pub(super) async fn call_failed(
        &self,
        call: &CarriedCall,
        reason: &str,
        at: Timestamp,
    ) -> Result<()> {
        let (call, reason) = (call.clone(), reason.to_owned());
        self.write(move |sql| {
            let note =
                "INSERT INTO failed_call (task, connection, fingerprint, reason, times, first)
                VALUES (?1, ?2, ?3, ?4, 1, ?5)
                ON CONFLICT DO UPDATE SET times = times + 1, reason = ?4, recovered = NULL";
            let (task, connection) = (call.task.as_str(), call.connection.as_str());
            sql.execute(
                note,
                params![task, connection, call.fingerprint, reason, millis(at)],
            )
            .map(drop)
        })
        .await
    }

    pub(super) async fn call_recovered(&self, call: &CarriedCall, at: Timestamp) -> Result<()> {
        let call = call.clone();
        self.write(move |sql| {
            let note = "UPDATE failed_call SET recovered = ?4
                WHERE task = ?1 AND connection = ?2 AND fingerprint = ?3 AND recovered IS NULL";
            let (task, connection) = (call.task.as_str(), call.connection.as_str());
            sql.execute(
                note,
                params![task, connection, call.fingerprint, millis(at)],
            )
            .map(drop)
        })
        .await
    }

    pub(super) fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>> {
        self.read(|sql| {
            let mut failed = sql.prepare(
                "SELECT connection, SUM(times), MIN(first), reason FROM failed_call
                 WHERE task = ?1 AND recovered IS NULL GROUP BY connection, reason ORDER BY connection, reason",
            )?;
            let read = |row: &rusqlite::Row<'_>| {
                let name: String = row.get(0)?;
                Ok(FailedCall {
                    connection: ConnectionName::parse(&name)
                        .map_err(|_name| rows::impossible("connection"))?,
                    times: rows::number("times", row.get(1)?)?,
                    first: rows::timestamp("first", row.get(2)?)?,
                    reason: row.get(3)?,
                })
            };
            failed.query_map([task.as_str()], read)?.collect()
        })
    }
}
