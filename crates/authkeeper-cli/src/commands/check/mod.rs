//! `check`: a real call over a connection, authorized and carried as any other. Nothing else proves that it works.

mod judge;

use std::{sync::Arc, time::Duration};

use authkeeper::{
    error::TokenError,
    model::{Connection, ConnectionName, ProvenCall},
    platform::clock::Seams,
    runtime::{ConnectionStatus, TokenRequest},
};
use authkeeper_gateway::{
    check::{self, CheckCall, Probe, ProbeError, check_call_of},
    forward::{Forwarder, Target},
    mcp::{ForwardUpstream, ListToolsError, list_tools},
    token_source::TokenSource,
};
use serde_json::{Value, json};

use self::judge::{is_no_mcp, judge, not_carried, worded};
use super::incident;
use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, LATER},
    output::{self, Paint, span},
};

/// A harmless call takes no longer, or the server is failing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer to the check.
#[derive(Debug, PartialEq, Eq)]
struct Answered {
    call: String,
    status: Option<u16>,
    tools: Option<usize>,
    version: Option<String>,
    /// Why its answer to MCP is none, if it was asked in MCP first.
    no_mcp: Option<String>,
}

/// A check that succeeded, with the token it was made with.
pub(super) struct SuccessfulCheck {
    answered: Answered,
    millis: u128,
    now: ConnectionStatus,
}

pub(crate) async fn check(app: &App, name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else {
        return check_all(app).await;
    };
    let name = ConnectionName::parse(name)?;
    let checked = check_one(app, &name).await?;
    if app.output.json {
        app.output.data_json(&json_of(&name, Ok(&checked)));
    } else {
        app.output.data(&sentence(&name, &checked));
    }
    Ok(())
}

async fn check_all(app: &App) -> Result<(), Failure> {
    let mut all = Vec::new();
    for status in app.runtime.statuses().await? {
        let name = status.connection.name;
        let checked = check_one(app, &name).await;
        if !app.output.json {
            app.output.data(&row(app, &name, &checked));
        }
        all.push((name, checked));
    }
    if app.output.json {
        let all = all
            .iter()
            .map(|(name, checked)| json_of(name, checked.as_ref()));
        app.output.data_json(&Value::Array(all.collect()));
    } else if all.is_empty() {
        app.say_nothing_connected();
    }
    let count = all.len();
    let failed: Vec<Failure> = all.into_iter().filter_map(|(_, one)| one.err()).collect();
    let number = failed.len();
    match failed
        .into_iter()
        .max_by_key(|failure| failure.exit.gravity())
    {
        None => Ok(()),
        Some(worst) => Err(Failure {
            what: format!(
                "{number} of {} failed; the worst: {}",
                output::count(count, "connection"),
                worst.what
            ),
            ..worst
        }),
    }
}

/// Checks it, and reports its incidents.
async fn check_one(app: &App, name: &ConnectionName) -> Result<SuccessfulCheck, Failure> {
    let checked = prove(app, name).await;
    let failed = checked.as_ref().err();
    let no_token = failed.and_then(|failed| failed.no_token.as_ref());
    let said = failed.map(|failed| failed.failure.what.as_str());
    incident::report_beside(app, name, no_token, said).await;
    checked.map_err(|failed| failed.failure.of(name))
}

/// A check that failed.
pub(super) struct FailedCheck {
    pub(super) failure: Failure,
    /// Whether the call was the connection's own, or its provider's, and no guess.
    pub(super) is_own_call: bool,
    /// Why there was no token to call with.
    no_token: Option<TokenError>,
}

impl FailedCheck {
    /// The call failed, or could not be made.
    pub(super) fn new(failure: Failure, is_own_call: bool) -> Self {
        Self {
            failure,
            is_own_call,
            no_token: None,
        }
    }
}

/// First the token, whose errors say best what is wrong with it; then the call.
pub(super) async fn prove(
    app: &App,
    name: &ConnectionName,
) -> Result<SuccessfulCheck, FailedCheck> {
    let request = TokenRequest::new(name.clone());
    if let Err(error) = app.runtime.access_token(&request).await {
        return Err(FailedCheck {
            failure: app.with_health(name, error.clone().into()).await,
            is_own_call: false,
            no_token: Some(error),
        });
    }
    let clock = Seams::system().clock;
    let begun = clock.now();
    let status = app.runtime.status(name).await;
    let connection = status.map_err(|error| FailedCheck::new(error.into(), false))?;
    let connection = connection.connection;
    let check_call = check_call_of(&connection);
    let is_own_call = matches!(check_call, CheckCall::Request(_));
    let called = tokio::time::timeout(PATIENCE, call(app, &connection, check_call)).await;
    let answered = called.unwrap_or_else(|_elapsed| {
        let what = format!("{name}: no answer within {} s", PATIENCE.as_secs());
        Err(Failure::new(Exit::Unavailable, what, LATER))
    });
    let millis = clock.now().since(begun).as_millis();
    let answered = match answered {
        Ok(answered) => answered,
        Err(failure) => {
            let failure = app.with_health(name, failure).await;
            return Err(FailedCheck::new(failure, is_own_call));
        }
    };
    let proven = proven_by(&answered, is_own_call);
    let now = works(app, name, proven).await;
    Ok(SuccessfulCheck {
        answered,
        millis,
        now: now.map_err(|failure| FailedCheck::new(failure, is_own_call))?,
    })
}

fn proven_by(answered: &Answered, is_own_call: bool) -> ProvenCall {
    match answered.tools {
        Some(_) => ProvenCall::ListTools,
        None if is_own_call => ProvenCall::Request,
        None => ProvenCall::Get,
    }
}

/// What was told of a refused token is over, and the call may be made again while nobody calls.
async fn works(
    app: &App,
    name: &ConnectionName,
    proven: ProvenCall,
) -> Result<ConnectionStatus, Failure> {
    app.runtime.token_works(name).await?;
    app.runtime.proven(name, proven).await?;
    Ok(app.runtime.status(name).await?)
}

async fn call(
    app: &App,
    connection: &Connection,
    check_call: CheckCall,
) -> Result<Answered, Failure> {
    let tokens = TokenSource::new(app.runtime.clone(), app.task().await, app.links());
    let forwarder = Arc::new(app.forwarder(&Arc::new(tokens)));
    match check_call {
        CheckCall::Request(probe) => request(&forwarder, connection, *probe).await,
        CheckCall::Tools => tools(forwarder, connection).await,
    }
}

async fn request(
    forwarder: &Forwarder,
    connection: &Connection,
    probe: Probe,
) -> Result<Answered, Failure> {
    let name = &connection.name;
    let succeeds_if = probe.succeeds_if.clone();
    let answer = check::request(forwarder, connection, probe).await;
    let answer = answer.map_err(|error| unanswered(error, name))?;
    let said = (answer.said.as_deref(), &answer.body[..]);
    judge(name, answer.status, succeeds_if.as_deref(), said)?;
    Ok(Answered {
        call: answer.call,
        status: Some(answer.status.as_u16()),
        tools: None,
        version: None,
        no_mcp: None,
    })
}

fn unanswered(error: ProbeError, name: &ConnectionName) -> Failure {
    match error {
        ProbeError::BadTarget(why) => {
            let next =
                "authkeeper connect it again with a --check-url on the connection's own server";
            Failure::new(Exit::Config, format!("{name}: {why}"), next)
        }
        ProbeError::NotCarried(error) => not_carried(&error, name),
        ProbeError::BrokenOff(why) => {
            let what = format!("{name}: its answer broke off: {why}");
            Failure::new(Exit::Unavailable, what, LATER)
        }
    }
}

async fn tools(forwarder: Arc<Forwarder>, connection: &Connection) -> Result<Answered, Failure> {
    let name = &connection.name;
    let upstream = ForwardUpstream::new(Arc::clone(&forwarder), name.clone());
    match list_tools(upstream).await {
        Ok(asked) => Ok(Answered {
            call: "tools/list".to_owned(),
            status: None,
            tools: Some(asked.tools),
            version: Some(asked.version),
            no_mcp: None,
        }),
        // No MCP server, perhaps: then what a plain request says counts.
        Err(refused) if is_no_mcp(&refused) => {
            let answered = request(&forwarder, connection, Probe::get(Target::exact())).await?;
            let no_mcp = Some(what_came(&refused));
            Ok(Answered { no_mcp, ..answered })
        }
        Err(refused) => Err(worded(&refused, name)),
    }
}

/// What came in the place of an MCP message.
fn what_came(refused: &ListToolsError) -> String {
    let status = refused.status().map(|status| format!("HTTP {status} "));
    let kind = refused.data["content_type"].as_str();
    let kind = kind.map(|kind| format!("with {kind} "));
    format!(
        "it answered {}{}instead of an MCP message",
        status.unwrap_or_default(),
        kind.unwrap_or_default()
    )
}

pub(super) fn sentence(name: &ConnectionName, checked: &SuccessfulCheck) -> String {
    let SuccessfulCheck {
        answered,
        millis,
        now,
    } = checked;
    let left = match now.expires_at {
        Some(_) => format!("{} left", span(now.left.as_secs())),
        None => "it does not end".to_owned(),
    };
    let no_mcp = match answered.no_mcp {
        Some(_) => "; it is no MCP server: for `run` and `serve`, not for `mcp`",
        None => "",
    };
    format!(
        "ok: {name}: {} answered{} in {millis} ms; token of generation {}, {left}{no_mcp}",
        answered.call,
        what_of(answered),
        now.generation
    )
}

fn what_of(answered: &Answered) -> String {
    match (answered.status, answered.tools) {
        (Some(status), _) => format!(" {status}"),
        (_, Some(tools)) => format!(" with {}", output::count(tools, "tool")),
        _ => String::new(),
    }
}

fn row(app: &App, name: &ConnectionName, checked: &Result<SuccessfulCheck, Failure>) -> String {
    match checked {
        Ok(checked) => sentence(name, checked),
        Err(failure) => format!(
            "{} {}\n        next: {}",
            app.output.paint(Paint::Bad, "failed:"),
            failure.what,
            failure.next
        ),
    }
}

pub(super) fn json_of(name: &ConnectionName, checked: Result<&SuccessfulCheck, &Failure>) -> Value {
    match checked {
        Ok(SuccessfulCheck {
            answered,
            millis,
            now,
        }) => json!({
            "connection": name.as_str(),
            "ok": true,
            "call": answered.call,
            "status": answered.status,
            "tools": answered.tools,
            "protocol_version": answered.version,
            "no_mcp": answered.no_mcp,
            "ms": u64::try_from(*millis).unwrap_or(u64::MAX),
            "generation": now.generation,
            "expires_at": now.expires_at,
            "seconds_left": now.expires_at.map(|_| now.left.as_secs()),
            "health": now.health,
        }),
        Err(failure) => json!({
            "connection": name.as_str(),
            "ok": false,
            "exit": failure.exit.code(),
            "what": failure.what,
            "next": failure.next,
            "health": failure.health,
        }),
    }
}
