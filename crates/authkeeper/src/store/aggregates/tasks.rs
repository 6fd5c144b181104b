//! Runs and their failed calls.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{
    model::{FailedCall, TaskId},
    store::{CarriedCall, Result},
};

/// Runs, and the calls that failed in them.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// How long the longest run took that has ended.
    async fn longest_run(&self) -> Result<Option<Duration>>;
    /// Notes a run and the process that leads it.
    async fn begin_task(&self, task: &TaskId, process: &str, at: Timestamp) -> Result<()>;
    /// Notes that a run ended, with the code it returned.
    async fn end_task(&self, task: &TaskId, code: i32, at: Timestamp) -> Result<()>;
    /// The open run led by one of these processes, the first that is one.
    async fn task_led_by(&self, processes: &[String]) -> Result<Option<TaskId>>;
    /// Notes that a carried call failed for lack of authority.
    async fn call_failed(&self, call: &CarriedCall, reason: &str, at: Timestamp) -> Result<()>;
    /// Notes that a call that had failed has now succeeded.
    async fn call_recovered(&self, call: &CarriedCall, at: Timestamp) -> Result<()>;
    /// The calls of a run that failed and were not recovered.
    async fn unrecovered(&self, task: &TaskId) -> Result<Vec<FailedCall>>;
}
