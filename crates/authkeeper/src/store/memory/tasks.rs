//! Runs, and the calls that failed in them.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use crate::{
    model::{ConnectionName, FailedCall, TaskId},
    store::{CarriedCall, Result, Tasks},
};

#[derive(Clone, Debug)]
pub(super) struct Run {
    id: TaskId,
    process: String,
    began: Timestamp,
    ended: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct Call {
    times: u64,
    first: Timestamp,
    reason: String,
    recovered: bool,
}

#[async_trait]
impl Tasks for MemoryStore {
    async fn longest_run(&self) -> Result<Option<Duration>> {
        self.read(|rows| {
            let ended = rows.tasks.iter();
            let lasted = ended.filter_map(|task| Some(task.ended?.duration_since(task.began)));
            lasted.max().and_then(|longest| longest.try_into().ok())
        })
    }

    async fn begin_task(&self, task: &TaskId, process: &str, at: Timestamp) -> Result<()> {
        let began = Run {
            id: task.clone(),
            process: process.to_owned(),
            began: at,
            ended: None,
        };
        self.note(|rows| rows.tasks.push(began)).await
    }

    async fn end_task(&self, task: &TaskId, _code: i32, at: Timestamp) -> Result<()> {
        self.note(|rows| {
            for run in rows.tasks.iter_mut().filter(|run| run.id == *task) {
                run.ended = Some(at);
            }
        })
        .await
    }

    async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>> {
        self.read(|rows| {
            let led = |process: &String| {
                let mut open = rows.tasks.iter().rev().filter(|run| run.ended.is_none());
                let found = open.find(|run| run.process == *process);
                found.map(|run| run.id.clone())
            };
            processes.iter().find_map(led)
        })
    }

    async fn call_failed(&self, call: &CarriedCall, reason: &str, at: Timestamp) -> Result<()> {
        self.note(|rows| {
            let known = rows.calls.entry(key(call)).or_insert(Call {
                times: 0,
                first: at,
                reason: String::new(),
                recovered: false,
            });
            known.times += 1;
            reason.clone_into(&mut known.reason);
            known.recovered = false;
        })
        .await
    }

    async fn call_recovered(&self, call: &CarriedCall, _at: Timestamp) -> Result<()> {
        self.note(|rows| {
            if let Some(call) = rows.calls.get_mut(&key(call)) {
                call.recovered = true;
            }
        })
        .await
    }

    async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>> {
        self.read(|rows| {
            let mut failed: BTreeMap<(&ConnectionName, &str), FailedCall> = BTreeMap::new();
            let open = rows.calls.iter();
            for ((_, connection, _), call) in
                open.filter(|((of, _, _), call)| of == task && !call.recovered)
            {
                let key = (connection, call.reason.as_str());
                let sum = failed.entry(key).or_insert_with(|| FailedCall {
                    connection: connection.clone(),
                    times: 0,
                    first: call.first,
                    reason: call.reason.clone(),
                });
                sum.times += call.times;
                sum.first = sum.first.min(call.first);
            }
            failed.into_values().collect()
        })
    }
}

fn key(call: &CarriedCall) -> (TaskId, ConnectionName, String) {
    let (task, connection) = (call.task.clone(), call.connection.clone());
    (task, connection, call.fingerprint.clone())
}
