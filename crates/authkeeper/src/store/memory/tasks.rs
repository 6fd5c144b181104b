//! Runs, and the calls that failed in them.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    MemoryStore, StoreRows,
    rows::{Call, Run},
};
use crate::{
    model::{ConnectionName, FailedCall, TaskId},
    store::{CarriedCall, Result, Tasks},
};

#[async_trait]
impl Tasks for MemoryStore {
    async fn longest_run(&self) -> Result<Option<Duration>> {
        self.read(StoreRows::longest_run)
    }

    async fn begin_task(&self, task: &TaskId, process: &str, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.begin_task(task, process, at)).await
    }

    async fn end_task(&self, task: &TaskId, _code: i32, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.end_task(task, at)).await
    }

    async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>> {
        self.read(|rows| rows.task_led_by(processes))
    }

    async fn call_failed(&self, call: &CarriedCall, reason: &str, at: Timestamp) -> Result<()> {
        self.note(|rows| rows.call_failed(call, reason, at)).await
    }

    async fn call_recovered(&self, call: &CarriedCall, _at: Timestamp) -> Result<()> {
        self.note(|rows| rows.call_recovered(call)).await
    }

    async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>> {
        self.read(|rows| rows.unrecovered(task))
    }
}

impl StoreRows {
    /// As [`Tasks::longest_run`].
    pub fn longest_run(&self) -> Option<Duration> {
        let ended = self.tasks.iter();
        let lasted = ended.filter_map(|task| Some(task.ended?.duration_since(task.began)));
        lasted.max().and_then(|longest| longest.try_into().ok())
    }

    /// As [`Tasks::begin_task`].
    pub fn begin_task(&mut self, task: &TaskId, process: &str, began: Timestamp) {
        self.tasks.push(Run {
            id: task.clone(),
            process: process.to_owned(),
            began,
            ended: None,
        });
    }

    /// As [`Tasks::end_task`].
    pub fn end_task(&mut self, task: &TaskId, at: Timestamp) {
        for run in self.tasks.iter_mut().filter(|run| run.id == *task) {
            run.ended = Some(at);
        }
    }

    /// As [`Tasks::task_led_by`].
    pub fn task_led_by(&self, processes: &[String]) -> Option<TaskId> {
        let led = |process: &String| {
            let mut open = self.tasks.iter().rev().filter(|run| run.ended.is_none());
            let found = open.find(|run| run.process == *process);
            found.map(|run| run.id.clone())
        };
        processes.iter().find_map(led)
    }

    /// As [`Tasks::call_failed`].
    pub fn call_failed(&mut self, call: &CarriedCall, reason: &str, at: Timestamp) {
        let known = self.calls.entry(key(call)).or_insert(Call {
            times: 0,
            first: at,
            reason: String::new(),
            recovered: false,
        });
        known.times += 1;
        reason.clone_into(&mut known.reason);
        known.recovered = false;
    }

    /// As [`Tasks::call_recovered`].
    pub fn call_recovered(&mut self, call: &CarriedCall) {
        if let Some(call) = self.calls.get_mut(&key(call)) {
            call.recovered = true;
        }
    }

    /// As [`Tasks::unrecovered`].
    pub fn unrecovered(&self, task: &TaskId) -> Vec<FailedCall> {
        let mut failed: BTreeMap<(&ConnectionName, &str), FailedCall> = BTreeMap::new();
        let open = self.calls.iter();
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
    }
}

fn key(call: &CarriedCall) -> (TaskId, ConnectionName, String) {
    let (task, connection) = (call.task.clone(), call.connection.clone());
    (task, connection, call.fingerprint.clone())
}
