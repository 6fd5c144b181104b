//! `demo-job`: a job like any other. It knows where to call and the handle to show there, and nothing of sign-ins or keys.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use authkeeper::{model::Moment, platform::clock::Seams, secret::SecretString};
use clap::Args;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    http::{Answer, Http},
    joblog::{JobLog, Line, What},
};
use crate::{exit::Exit, failure::Failure, proxy::ERROR_HEADER, settings::Environment};

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The connection
    name: String,
    /// Where it notes what it did; a restarted job goes on from there
    #[arg(long)]
    log: PathBuf,
    /// How many calls are under way at once
    #[arg(long, default_value_t = 4)]
    workers: u32,
    /// How long a worker rests after a call, in milliseconds
    #[arg(long, default_value_t = 350)]
    rest: u64,
    /// Ends by itself after this many seconds
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Without authkeeper: the API's URL; the key is read from standard input and kept to the end
    #[arg(long)]
    direct: Option<String>,
}

/// What the workers share.
struct Job {
    http: Http,
    url: String,
    /// The header that lets the calls in, and what it says.
    header: &'static str,
    pass: SecretString,
    seams: Seams,
    rest: Duration,
    started: Moment,
    limit: Duration,
    state: Mutex<State>,
}

struct State {
    log: File,
    left: VecDeque<u32>,
    next: u32,
    over: bool,
}

/// Works until it is told that it may not, or its time is up.
pub(crate) async fn work(args: JobArgs, environment: &Environment) -> Result<(), Failure> {
    let workers = args.workers;
    let job = Arc::new(job(&args, environment)?);
    let mut working = JoinSet::new();
    for number in 0..workers {
        // One after the other, so that calls are spread over the time.
        let later = job.rest * number / workers.max(1);
        working.spawn(worker(Arc::clone(&job), later));
    }
    while working.join_next().await.is_some() {}
    Ok(())
}

fn job(args: &JobArgs, environment: &Environment) -> Result<Job, Failure> {
    let unusable = |error: io::Error| {
        let what = format!("{}: {error}", args.log.display());
        Failure::new(Exit::Store, what, "look at the demo's folder")
    };
    let mut log = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(&args.log)
        .map_err(unusable)?;
    let mut text = String::new();
    log.read_to_string(&mut text).map_err(unusable)?;
    if !text.is_empty() && !text.ends_with('\n') {
        // Killed in the middle of a line.
        log.write_all(b"\n").map_err(unusable)?;
    }
    let before = JobLog::parse(&text);
    let (url, header, pass) = match &args.direct {
        Some(url) => (url.clone(), "authorization", held_key().map_err(unusable)?),
        None => through_authkeeper(&args.name, environment)?,
    };
    let seams = Seams::system();
    Ok(Job {
        http: Http::new(),
        url: format!("{url}/work"),
        header,
        pass,
        started: seams.clock.now(),
        limit: Duration::from_secs(args.seconds),
        seams,
        rest: Duration::from_millis(args.rest),
        state: Mutex::new(State {
            log,
            left: before.unfinished().into(),
            next: before.next_piece(),
            over: false,
        }),
    })
}

fn through_authkeeper(
    name: &str,
    environment: &Environment,
) -> Result<(String, &'static str, SecretString), Failure> {
    let text = |name: &str| environment.text(name).map(str::to_owned);
    let (url, handle) = text("AUTHKEEPER_URL")
        .zip(text("AUTHKEEPER_TASK"))
        .ok_or_else(|| {
            let what = "AUTHKEEPER_URL and AUTHKEEPER_TASK are not set";
            Failure::new(Exit::Usage, what, "authkeeper demo starts this by itself")
        })?;
    Ok((format!("{url}/c/{name}"), TASK_HEADER_NAME, handle.into()))
}

const TASK_HEADER_NAME: &str = "x-authkeeper-task";

/// The key as a program that renews nothing holds it.
fn held_key() -> io::Result<SecretString> {
    let mut key = String::new();
    io::stdin().read_to_string(&mut key)?;
    Ok(format!("Bearer {}", key.trim()).into())
}

async fn worker(job: Arc<Job>, later: Duration) {
    tokio::time::sleep(later).await;
    while let Some(piece) = job.take() {
        let what = job.call(piece).await;
        job.note(piece, what);
        tokio::time::sleep(job.rest).await;
    }
}

impl Job {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece, noted as begun before its call goes out.
    fn take(&self) -> Option<u32> {
        let mut state = self.state();
        let time = self.seams.clock.now().since(self.started);
        if state.over || time > self.limit {
            return None;
        }
        let piece = state.left.pop_front().unwrap_or_else(|| {
            state.next += 1;
            state.next - 1
        });
        self.write(&mut state, piece, What::Begun);
        Some(piece)
    }

    fn note(&self, piece: u32, what: What) {
        let mut state = self.state();
        match what {
            What::Failed { .. } => state.left.push_back(piece),
            What::Ended => state.over = true,
            What::Begun | What::Done { .. } => {}
        }
        self.write(&mut state, piece, what);
    }

    /// One line in one write, so that a kill leaves at most half a line.
    fn write(&self, state: &mut State, piece: u32, what: What) {
        let at = self.seams.clock.now().wall.as_millisecond();
        let line = Line { at, piece, what };
        if let Ok(text) = serde_json::to_string(&line) {
            let _ = state.log.write_all(format!("{text}\n").as_bytes());
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the handle, or the held key, goes where it is meant for"
    )]
    async fn call(&self, piece: u32) -> What {
        let key = format!("piece-{piece}");
        let headers = [
            ("idempotency-key", key.as_str()),
            (self.header, self.pass.expose()),
        ];
        match self.http.post(&self.url, &headers).await {
            Ok(answer) => read(&answer),
            Err(why) => What::Failed { why },
        }
    }
}

/// What an answer means to the job.
fn read(answer: &Answer) -> What {
    let word = answer.headers.get(ERROR_HEADER);
    let word = word.and_then(|word| word.to_str().ok()).unwrap_or_default();
    if word == "authorization_missing" {
        return What::Ended;
    }
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let seen_before = body.and_then(|body| body["duplicate"].as_bool());
    match seen_before {
        Some(seen_before) if answer.status.is_success() => What::Done { seen_before },
        _ => What::Failed {
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

    #[test]
    fn answers_are_told_apart() {
        let answer = |status, body: &'static str| Answer {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        let done = answer(StatusCode::OK, r#"{"piece":1,"duplicate":false}"#);
        assert_eq!(read(&done), What::Done { seen_before: false });
        let failed = |why: &str| What::Failed {
            why: why.to_owned(),
        };
        assert_eq!(read(&answer(StatusCode::OK, "<html>")), failed("200"));
        let mut refused = answer(StatusCode::UNAUTHORIZED, "{}");
        assert_eq!(read(&refused), failed("401"));
        refused
            .headers
            .insert(ERROR_HEADER, "authorization_missing".parse().unwrap());
        assert_eq!(read(&refused), What::Ended);
    }

    #[test]
    fn the_handle_goes_into_the_header_that_the_proxy_reads() {
        assert_eq!(crate::carry::TASK_HEADER.as_str(), TASK_HEADER_NAME);
    }
}
