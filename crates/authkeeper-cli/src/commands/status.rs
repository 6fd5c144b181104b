//! `status`: what is connected, how long it is good, and what needs a person.

use authkeeper::{
    model::{
        ConnectionName, ConnectionState, Event, GrantType, ReauthorizeReason, Record, SuspendReason,
    },
    runtime::ConnectionStatus,
};
use serde_json::{Value, json};

use super::lost_answer::Outlook;
use crate::{
    app::App,
    failure::Failure,
    output::{CommandOutput, Paint, day, span},
};

pub(crate) async fn status(app: &App, name: Option<&str>) -> Result<(), Failure> {
    let statuses = match name {
        Some(name) => vec![app.runtime.status(&ConnectionName::parse(name)?).await?],
        None => app.runtime.statuses().await?,
    };
    if app.output.json {
        let all = statuses.iter().map(|status| {
            let mut shown = json(status);
            shown["link"] = app.link_for(status).into();
            shown
        });
        app.output.data_json(&Value::Array(all.collect()));
        return Ok(());
    }
    if statuses.is_empty() {
        app.say_nothing_connected();
        return Ok(());
    }
    for line in table(app.output, &statuses) {
        app.output.data(&line);
    }
    for status in &statuses {
        let lines = todo(status, app.link_for(status));
        if !lines.is_empty() {
            app.output.data(&format!("\n{}", lines.join("\n")));
        }
    }
    Ok(())
}

/// One connection, in the shape that scripts may rely on.
pub(crate) fn json(status: &ConnectionStatus) -> Value {
    let connection = &status.connection;
    let (reason, since) = match &status.state {
        ConnectionState::ReauthorizationRequired { reason, since } => {
            (Some(reason.as_str()), Some(*since))
        }
        ConnectionState::Suspended { reason, since } => (Some(reason.as_str()), Some(*since)),
        _ => (None, None),
    };
    json!({
        "connection": connection.name.as_str(),
        "state": status.state.as_str(),
        "reason": reason,
        "since": since,
        "uncertain": status.is_uncertain(),
        "asked_again_in_seconds": status.asked_again_in.map(|wait| wait.as_secs()),
        "principal": connection.principal.as_str(),
        "url": connection.url,
        "issuer": connection.issuer.as_str(),
        "resource": connection.resource.as_ref().map(authkeeper::model::Resource::as_str),
        "scope": status.scope.as_ref().map(authkeeper::model::Scope::as_str),
        "wanted_scope": status.scope_request.as_ref().and_then(|wanted| wanted.scope.as_ref()).map(authkeeper::model::Scope::as_str),
        "lineage": status.lineage,
        "generation": status.generation,
        "expires_at": status.expires_at,
        "seconds_left": status.left.as_secs(),
        "refresh_in_seconds": status.due_in.as_secs(),
        "refreshable": status.refreshable,
        "refresh_expires_at": status.refresh_expires_at,
        "grant_type": status.grant_type.map(GrantType::as_str),
        "provider": connection.provider,
        "rotate_by": status.rotate_by,
        "overlap_until": status.standby_until,
        "action": action(status),
        "link": null,
        "incidents": status.incidents.iter().map(|incident| &incident.record).collect::<Vec<_>>(),
    })
}

/// The command that a person has to run, if any.
fn action(status: &ConnectionStatus) -> Option<String> {
    let name = &status.connection.name;
    let again = to_begin_again(name.as_str(), status.grant_type);
    match status.state {
        ConnectionState::ReauthorizationRequired { reason, .. } => {
            Some(advised_by_incident(status, reason).unwrap_or(again))
        }
        ConnectionState::Suspended {
            reason: SuspendReason::OtherAccount | SuspendReason::TokenType,
            ..
        } => Some(again),
        ConnectionState::Active if client_is_refused(status).is_some() => {
            client_is_refused(status).map(|record| record.action.clone())
        }
        ConnectionState::Active if key_is_refused(status) => Some(again),
        ConnectionState::Active if status.scope_request.is_some() => Some(again),
        ConnectionState::Revoked => Some(format!("authkeeper disconnect {name}")),
        ConnectionState::Suspended {
            reason: SuspendReason::SecondCopy,
            ..
        } => Some(format!("authkeeper import {name} --other-copy-retired")),
        ConnectionState::Active if status.left.is_zero() && !status.refreshable => Some(again),
        _ => None,
    }
}

/// The action of the open incident with this reason. It can be more precise than signing in again: after a move to another
/// server, a client that a person gave has to be replaced.
fn advised_by_incident(status: &ConnectionStatus, reason: ReauthorizeReason) -> Option<String> {
    let mut records = status.incidents.iter().map(|incident| &incident.record);
    let told = records.find(|record| record.reason == reason.as_str());
    told.map(|record| record.action.clone())
}

/// The command that replaces an ended credential: `rotate` for a key, `reauthorize` for everything else.
pub(super) fn to_begin_again(name: &str, grant: Option<GrantType>) -> String {
    match grant {
        Some(GrantType::ApiKey) => format!("authkeeper rotate {name}"),
        _ => format!("authkeeper reauthorize {name}"),
    }
}

/// The state of a connection that is disconnected and still kept.
pub(super) const UNCONFIRMED: &str =
    "it was disconnected, but the provider did not confirm that it revoked the grant";

/// What lives on at the provider if it is not revoked, and until when.
pub(super) fn what_is_left(status: &ConnectionStatus) -> String {
    let Some(grant_type) = status.grant_type.filter(|kind| *kind != GrantType::ApiKey) else {
        return "What was granted stays good there".to_owned();
    };
    let access = status.expires_at.filter(|_| !status.left.is_zero());
    let access = access.map(|until| format!("the access token until {until}"));
    let refresh = match status.refresh_expires_at {
        _ if !status.refreshable || grant_type.is_issued_again() => None,
        Some(until) => Some(format!("the refresh token until {until}")),
        None => Some("the refresh token until it is revoked".to_owned()),
    };
    let left: Vec<String> = access.into_iter().chain(refresh).collect();
    if left.is_empty() {
        return "Nothing that is good is left there".to_owned();
    }
    format!("What stays good there: {}", left.join(", "))
}

const HEADER: [&str; 6] = [
    "CONNECTION",
    "STATE",
    "ACCESS",
    "REFRESH",
    "PRINCIPAL",
    "SERVER",
];
const PRINCIPAL: usize = 4;

/// Between two columns.
const GAP: usize = 2;

/// So much of a server's URL is always shown.
const LEAST_OF_A_SERVER: usize = 12;

/// The header and the connections.
type Rows = Vec<Vec<String>>;

fn table(output: CommandOutput, statuses: &[ConnectionStatus]) -> Vec<String> {
    let mut rows: Rows = vec![HEADER.map(str::to_owned).to_vec()];
    rows.extend(statuses.iter().map(|status| row(status).to_vec()));
    if let Some(columns) = output.columns() {
        rows = fitted(rows, columns);
    }
    let widths = widths(&rows);
    let mut lines = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let paint = number
            .checked_sub(1)
            .map_or(Paint::Dim, |index| colour(&statuses[index]));
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padded = format!("{cell:<width$}", width = widths[column]);
            let painted = number == 0 || column == 1;
            line.push_str(&if painted {
                output.paint(paint, &padded)
            } else {
                padded
            });
            line.push_str(&" ".repeat(GAP));
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn widths(rows: &Rows) -> Vec<usize> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    (0..rows.first().map_or(0, Vec::len)).map(width).collect()
}

/// Made to fit: first without the principal where all have the usual one, then with shorter servers.
fn fitted(mut rows: Rows, columns: usize) -> Rows {
    let total = |rows: &Rows| widths(rows).iter().map(|width| width + GAP).sum::<usize>() - GAP;
    let usual = |row: &Vec<String>| row[PRINCIPAL] == "local";
    if total(&rows) > columns && rows.iter().skip(1).all(usual) {
        for row in &mut rows {
            row.remove(PRINCIPAL);
        }
    }
    let over = total(&rows).saturating_sub(columns);
    let servers = widths(&rows).last().copied().unwrap_or(0);
    let room = servers.saturating_sub(over).max(LEAST_OF_A_SERVER);
    for server in rows.iter_mut().filter_map(|row| row.last_mut()) {
        if server.chars().count() > room {
            *server = server.chars().take(room - 1).chain(['…']).collect();
        }
    }
    rows
}

fn row(status: &ConnectionStatus) -> [String; 6] {
    let key = status.grant_type == Some(GrantType::ApiKey);
    let access = if status.left.is_zero() {
        "ended".to_owned()
    } else if key {
        "does not end".to_owned()
    } else {
        format!("{} left", span(status.left.as_secs()))
    };
    let refresh = match (&status.state, status.refreshable) {
        (ConnectionState::Active, _) if key => match status.rotate_by {
            Some(by) => format!("replace by {}", day(by)),
            None => "-".to_owned(),
        },
        (ConnectionState::Active, true) if status.due_in.is_zero() => "due".to_owned(),
        (ConnectionState::Active, true) => format!("in {}", span(status.due_in.as_secs())),
        (ConnectionState::Active, false) => "needs a person".to_owned(),
        _ => "-".to_owned(),
    };
    let state = if status.is_uncertain() {
        "uncertain"
    } else if key_is_refused(status) {
        "key refused"
    } else {
        status.state.as_str()
    };
    let connection = &status.connection;
    [
        connection.name.to_string(),
        state.to_owned(),
        access,
        refresh,
        connection.principal.to_string(),
        connection.url.clone(),
    ]
}

/// A scope that sign-ins have not granted: it has to be allowed first.
fn not_for_a_sign_in(status: &ConnectionStatus) -> Option<&str> {
    let mut records = status.incidents.iter().map(|incident| &incident.record);
    let refused = records.find(|record| record.event == Event::ScopeRequired)?;
    Some(&refused.action)
}

/// A key does not change its state by being refused: the server may take it again. Until then it is said.
fn key_is_refused(status: &ConnectionStatus) -> bool {
    let mut incidents = status.incidents.iter();
    status.grant_type == Some(GrantType::ApiKey)
        && incidents.any(|incident| incident.record.event == Event::ReauthorizationRequired)
}

/// The provider refuses our client, for every connection that uses it. A token that lives is served all the same.
fn client_is_refused(status: &ConnectionStatus) -> Option<&Record> {
    let mut records = status.incidents.iter().map(|incident| &incident.record);
    records.find(|record| record.is_client_refused())
}

fn colour(status: &ConnectionStatus) -> Paint {
    let in_doubt =
        || status.is_uncertain() || key_is_refused(status) || client_is_refused(status).is_some();
    match status.state {
        ConnectionState::Active if in_doubt() => Paint::Warn,
        ConnectionState::Active => Paint::Good,
        ConnectionState::Pending => Paint::Warn,
        _ => Paint::Bad,
    }
}

/// What the table can't say: who has to do what, and why.
fn todo(status: &ConnectionStatus, link: Option<String>) -> Vec<String> {
    let name = &status.connection.name;
    let principal = &status.connection.principal;
    let mut lines = Vec::new();
    if let ConnectionState::ReauthorizationRequired { reason, since } = &status.state {
        // What is kept quotes the provider.
        let mut told = status.incidents.iter().map(|incident| &incident.record);
        let told = told.find(|record| record.reason == reason.as_str());
        let why = told.map_or(reason.sentence(), |record| &record.detail);
        lines.push(format!("{name}: {why} (since {since})."));
    } else if let ConnectionState::Suspended { reason, since } = &status.state {
        lines.push(format!("{name}: {} (since {since}).", reason.sentence()));
    } else if let Some(record) = client_is_refused(status) {
        lines.push(format!(
            "{name}: {} (since {}).",
            record.detail, record.since
        ));
    } else if let Some(incident) = status.incidents.first() {
        lines.push(format!("{name}: {}.", incident.record.detail));
    }
    if status.state == ConnectionState::Revoked {
        lines.push(format!("{name}: {UNCONFIRMED}. {}.", what_is_left(status)));
        lines.push(format!("  to try again: authkeeper disconnect {name}"));
    } else if let ConnectionState::Suspended {
        reason: SuspendReason::SecondCopy,
        ..
    } = &status.state
    {
        lines.extend(action(status).map(|action| format!("  once it is retired: {action}")));
    } else if let Some(action) = action(status) {
        let must = match status.grant_type {
            Some(GrantType::ApiKey) => "replace the key: ",
            _ if action.starts_with("authkeeper ") => "sign in again: ",
            // It says more than that.
            _ => "",
        };
        lines.push(format!("  {principal} must {must}{action}"));
    } else if let Some(action) = not_for_a_sign_in(status) {
        lines.push(format!("  {action}"));
    } else if status.is_uncertain() {
        let wait = status.asked_again_in.map(|wait| match wait.as_secs() {
            0 if !wait.is_zero() => 1,
            whole => whole,
        });
        let outlook = Outlook::of(status.left.as_secs(), wait);
        lines.push(format!("  {}", outlook.next()));
    }
    lines.extend(link.map(|link| format!("  or open {link}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(principal: &str) -> Rows {
        let of = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
        vec![
            of(HEADER),
            of([
                "notion",
                "active",
                "57 min left",
                "in 42 min",
                "local",
                "https://mcp.notion.com/mcp",
            ]),
            of([
                "api",
                "reauthorization_required",
                "ended",
                "-",
                principal,
                "https://api.example/v1",
            ]),
        ]
    }

    fn longest(rows: &Rows) -> usize {
        widths(rows).iter().map(|width| width + GAP).sum::<usize>() - GAP
    }

    #[test]
    fn the_table_fits_the_terminal() {
        let whole = longest(&rows("local"));
        assert_eq!(fitted(rows("local"), whole), rows("local"));
        let narrower = fitted(rows("local"), whole - 1);
        assert_eq!(narrower[1].len(), 5, "no principal");
        assert_eq!(narrower[1][4], "https://mcp.notion.com/mcp");
        let narrow = fitted(rows("local"), 80);
        assert!(longest(&narrow) <= 80, "{narrow:?}");
        assert_eq!(narrow[1][4], "https://mcp.notio…");
        let others = fitted(rows("alice"), 90);
        assert_eq!(others[2][PRINCIPAL], "alice");
        assert!(longest(&others) <= 90, "{others:?}");
        let least = fitted(rows("local"), 10);
        assert_eq!(least[1][4], "https://mcp…");
    }
}
