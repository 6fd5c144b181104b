//! `demo-job` and `demo-person`: the hidden commands that the demo starts.

use std::time::Duration;

use authkeeper_gateway::{forward::TASK_HEADER, server::ERROR_HEADER};
use authkeeper_sandbox::demo::{self, JobAccess, JobOptions};

use crate::{args::demo::JobArgs, exit::Exit, failure::Failure, settings::Environment};

/// Runs the demo's job.
pub(crate) async fn work(args: JobArgs, environment: &Environment) -> Result<(), Failure> {
    let access = match args.direct {
        Some(url) => JobAccess::Direct { url },
        None => through_authkeeper(&args.name, environment)?,
    };
    let options = JobOptions {
        log: args.log,
        workers: args.workers,
        rest: Duration::from_millis(args.rest),
        limit: Duration::from_secs(args.seconds),
        access,
        error_header: ERROR_HEADER,
    };
    let worked = demo::work(options).await;
    worked
        .map_err(|error| Failure::new(Exit::Store, error.to_string(), "look at the demo's folder"))
}

fn through_authkeeper(name: &str, environment: &Environment) -> Result<JobAccess, Failure> {
    let text = |name: &str| environment.text(name).map(str::to_owned);
    let (url, handle) = text("AUTHKEEPER_URL")
        .zip(text("AUTHKEEPER_TASK"))
        .ok_or_else(|| {
            let what = "AUTHKEEPER_URL and AUTHKEEPER_TASK are not set";
            Failure::new(Exit::Usage, what, "authkeeper demo starts this by itself")
        })?;
    Ok(JobAccess::Proxy {
        url: format!("{url}/c/{name}"),
        header: TASK_HEADER,
        handle,
    })
}

/// Signs the demo's person in.
pub(crate) async fn sign_in(url: &str) -> Result<(), Failure> {
    let signed_in = demo::sign_in(url).await;
    signed_in.map_err(|error| {
        let next = "look at the demo's output";
        Failure::new(Exit::Unavailable, error.to_string(), next)
    })
}
