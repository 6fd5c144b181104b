//! The demo's job: it calls an API all the time, and knows nothing of sign-ins or token refresh.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderName, header::AUTHORIZATION};
use serde_json::Value;
use tokio::{task::JoinSet, time::Instant};

use super::{
    http::{HttpAnswer, LoopbackClient},
    job_log::{CallEvent, JobLog, LogLine},
};
use crate::clock;

/// The word for an end of authority, in the header in which authkeeper says why it refused a call.
const AUTHORIZATION_MISSING: &str = "authorization_missing";

/// The header that keeps a call from doing its work twice.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How the demo's job runs.
pub struct JobOptions {
    /// The job's log. A restarted job continues from it.
    pub log: PathBuf,
    /// How many calls are under way at once.
    pub workers: u32,
    /// How long a worker rests after a call.
    pub rest: Duration,
    /// When the job ends by itself.
    pub limit: Duration,
    /// How its calls are authorized.
    pub access: JobAccess,
    /// The header in which authkeeper says why it refused a call.
    pub error_header: HeaderName,
}

/// How the job's calls are authorized.
pub enum JobAccess {
    /// Through authkeeper's proxy, with a task handle.
    Proxy {
        /// The proxy's URL of the connection.
        url: String,
        /// The header for the task handle.
        header: HeaderName,
        /// The task handle.
        handle: String,
    },
    /// Straight to the API, with one access token that is read from standard input.
    Direct {
        /// The API's URL.
        url: String,
    },
}

/// The job's log or its standard input can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct JobError {
    path: PathBuf,
    source: io::Error,
}

/// A secret header value. It can't be printed.
struct Credential(String);

/// What the workers share.
struct DemoJob {
    http: LoopbackClient,
    url: String,
    header: HeaderName,
    error_header: HeaderName,
    credential: Credential,
    rest: Duration,
    started: Instant,
    limit: Duration,
    state: Mutex<JobState>,
}

struct JobState {
    log: File,
    left: VecDeque<u32>,
    next: u32,
    over: bool,
}

/// Works until access ends or the time is up.
///
/// # Errors
///
/// The log can't be opened, or the access token can't be read.
pub async fn work(options: JobOptions) -> Result<(), JobError> {
    let workers = options.workers;
    let path = options.log.clone();
    let job = job(options).map_err(|source| JobError { path, source })?;
    let job = Arc::new(job);
    let mut working = JoinSet::new();
    for number in 0..workers {
        // The workers start one after the other, so that their calls are spread over the time.
        let later = job.rest * number / workers.max(1);
        working.spawn(worker(Arc::clone(&job), later));
    }
    while working.join_next().await.is_some() {}
    Ok(())
}

fn job(options: JobOptions) -> io::Result<DemoJob> {
    let mut log = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(&options.log)?;
    let mut text = String::new();
    log.read_to_string(&mut text)?;
    if !text.is_empty() && !text.ends_with('\n') {
        // The job was killed in the middle of a line.
        log.write_all(b"\n")?;
    }
    let before = JobLog::parse(&text);
    let (url, header, credential) = match options.access {
        JobAccess::Direct { url } => (url, AUTHORIZATION, bearer_from_stdin()?),
        JobAccess::Proxy {
            url,
            header,
            handle,
        } => (url, header, Credential(handle)),
    };
    Ok(DemoJob {
        http: LoopbackClient::new(),
        url: format!("{url}/work"),
        header,
        error_header: options.error_header,
        credential,
        started: Instant::now(),
        limit: options.limit,
        rest: options.rest,
        state: Mutex::new(JobState {
            log,
            left: before.unfinished().into(),
            next: before.next_piece(),
            over: false,
        }),
    })
}

/// The access token, as a program that refreshes nothing holds it.
fn bearer_from_stdin() -> io::Result<Credential> {
    let mut token = String::new();
    io::stdin().read_to_string(&mut token)?;
    Ok(Credential(format!("Bearer {}", token.trim())))
}

async fn worker(job: Arc<DemoJob>, later: Duration) {
    tokio::time::sleep(later).await;
    while let Some(piece) = job.take() {
        let what = job.call(piece).await;
        job.note(piece, what);
        tokio::time::sleep(job.rest).await;
    }
}

impl JobState {
    /// Writes one line with one call, so that a kill leaves at most half a line.
    fn write(&mut self, piece: u32, what: CallEvent) {
        let at = clock::wall_millis();
        let line = LogLine { at, piece, what };
        if let Ok(text) = serde_json::to_string(&line) {
            let _ = self.log.write_all(format!("{text}\n").as_bytes());
        }
    }
}

impl DemoJob {
    fn state(&self) -> MutexGuard<'_, JobState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece, noted as begun before its call goes out.
    fn take(&self) -> Option<u32> {
        let mut state = self.state();
        if state.over || self.started.elapsed() > self.limit {
            return None;
        }
        let piece = state.left.pop_front().unwrap_or_else(|| {
            state.next += 1;
            state.next - 1
        });
        state.write(piece, CallEvent::Begun);
        Some(piece)
    }

    fn note(&self, piece: u32, what: CallEvent) {
        let mut state = self.state();
        match what {
            CallEvent::Failed { .. } => state.left.push_back(piece),
            CallEvent::Ended => state.over = true,
            CallEvent::Begun | CallEvent::Done { .. } => {}
        }
        state.write(piece, what);
    }

    async fn call(&self, piece: u32) -> CallEvent {
        let key = format!("piece-{piece}");
        let headers = [
            (IDEMPOTENCY_KEY, key.as_str()),
            (self.header.clone(), self.credential.0.as_str()),
        ];
        match self.http.post(&self.url, &headers).await {
            Ok(answer) => read(&answer, &self.error_header),
            Err(why) => CallEvent::Failed { why },
        }
    }
}

/// What an answer means to the job.
fn read(answer: &HttpAnswer, error_header: &HeaderName) -> CallEvent {
    let word = answer.headers.get(error_header);
    let word = word.and_then(|word| word.to_str().ok()).unwrap_or_default();
    if word == AUTHORIZATION_MISSING {
        return CallEvent::Ended;
    }
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let seen_before = body.and_then(|body| body["duplicate"].as_bool());
    match seen_before {
        Some(seen_before) if answer.status.is_success() => CallEvent::Done { seen_before },
        _ => CallEvent::Failed {
            why: format!("{} {word}", answer.status.as_u16())
                .trim()
                .to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    const ERROR: HeaderName = HeaderName::from_static("x-error");

    #[test]
    fn answers_are_told_apart() {
        let answer = |status, body: &'static str| HttpAnswer {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        let done = answer(StatusCode::OK, r#"{"piece":1,"duplicate":false}"#);
        assert_eq!(read(&done, &ERROR), CallEvent::Done { seen_before: false });
        let failed = |why: &str| CallEvent::Failed {
            why: why.to_owned(),
        };
        assert_eq!(
            read(&answer(StatusCode::OK, "<html>"), &ERROR),
            failed("200")
        );
        let mut refused = answer(StatusCode::UNAUTHORIZED, "{}");
        assert_eq!(read(&refused, &ERROR), failed("401"));
        refused
            .headers
            .insert(ERROR, "authorization_missing".parse().unwrap());
        assert_eq!(read(&refused, &ERROR), CallEvent::Ended);
    }
}
