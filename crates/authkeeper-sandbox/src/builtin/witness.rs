//! What is written down of each request.

use serde_json::Value;

use super::evidence::{Grant, Mcp, Outcome, Refresh, Token, What};
use crate::{
    clock::Stamp,
    fault::{Arrival, Endpoint},
    store::AccessToken,
    wire::{Reply, Request},
    world::World,
};

/// What can't be told any more once a request is served.
#[derive(Debug, Default)]
pub(crate) struct Before {
    refresh: Option<Refresh>,
    token: Option<Token>,
    /// When the access token that was shown ends.
    ends: Option<Stamp>,
    tool_calls: u64,
}

impl World {
    /// To be asked before a request is served.
    pub(crate) fn before(&self, request: &Request, arrival: Option<&Arrival>) -> Before {
        if self.stage.is_none() {
            return Before::default();
        }
        let is_refresh = arrival.is_some_and(|arrival| arrival.endpoint == Endpoint::Refresh);
        let shown = request
            .bearer()
            .and_then(|text| self.store.access.get(text));
        Before {
            refresh: is_refresh.then(|| self.refresh_sent(request)),
            token: shown.map(token),
            ends: shown.map(|token| token.ends),
            tool_calls: self.tally.tool_calls,
        }
    }

    /// To be told after it was served.
    pub(crate) fn witness(
        &mut self,
        request: &Request,
        arrival: &Arrival,
        before: Before,
        reply: &mut Reply,
    ) {
        if self.stage.is_none() {
            return;
        }
        let served = message(request);
        if arrival.endpoint == Endpoint::Mcp {
            self.hold_back(served.as_ref(), &before, reply);
        }
        let what = match arrival.endpoint {
            Endpoint::Register if reply.status < 300 => Some(registered(reply)),
            Endpoint::Authorize if request.path == "/authorize" => Some(What::Asked),
            Endpoint::Code if reply.status == 200 => self.signed_in(),
            Endpoint::Refresh => before.refresh.map(|sent| renewed(sent, reply)),
            Endpoint::Mcp => {
                let executed = self.tally.tool_calls > before.tool_calls;
                Some(mcp(request, served.as_ref(), before.token, reply, executed))
            }
            _ => None,
        };
        let now = self.now();
        if let (Some(stage), Some(what)) = (&mut self.stage, what) {
            stage.see(now, what);
        }
        let method = served
            .as_ref()
            .and_then(|message| message["method"].as_str());
        self.strike(method.filter(|_| reply.status == 200));
    }

    /// A fault answered in its stead.
    pub(crate) fn witness_fault(&mut self, request: &Request, arrival: &Arrival) {
        if self.stage.is_none() || arrival.endpoint != Endpoint::Refresh {
            return;
        }
        let sent = self.refresh_sent(request);
        let now = self.now();
        if let Some(stage) = &mut self.stage {
            stage.see(now, What::Refresh(sent));
        }
        self.strike(None);
    }

    /// A request that is served holds its answer back until its token has ended, if the scenario says so.
    fn hold_back(&mut self, message: Option<&Value>, before: &Before, reply: &mut Reply) {
        let now = self.now();
        let Some(stage) = &mut self.stage else {
            return;
        };
        let message = message.filter(|message| !message["id"].is_null() && reply.status == 200);
        let method = message.and_then(|message| message["method"].as_str());
        let (Some(method), Some(ends)) = (method, before.ends) else {
            return;
        };
        if reply.staged.is_none() {
            reply.delay += stage.hold(method, ends.since(now));
        }
    }

    fn signed_in(&self) -> Option<What> {
        let (number, grant) = self.store.grants.iter().next_back()?;
        let first = self.store.refresh.values();
        let mut first = first.filter(|token| token.grant == *number);
        Some(What::SignedIn {
            grant: Grant {
                number: *number,
                client: grant.client.clone(),
            },
            scope: first.next().map(|token| token.scope.clone())?,
        })
    }

    fn refresh_sent(&self, request: &Request) -> Refresh {
        let form = request.form();
        let known = form
            .get("refresh_token")
            .and_then(|text| self.store.refresh.get(text));
        Refresh {
            grant: known.map(|token| token.grant),
            generation: known.map_or(0, |token| token.generation),
            replayed: known.is_some_and(|token| token.spent.is_some()),
            needed: known.is_none_or(|token| self.is_worn(token.grant)),
            scope: form.words("scope"),
            resource: form.get("resource").map(str::to_owned),
            outcome: Outcome::Faulty,
        }
    }

    /// Whether a grant's newest access token has ended, was refused, or has lived half of its life.
    fn is_worn(&self, grant: u32) -> bool {
        let tokens = self.store.access.values();
        let newest = tokens
            .filter(|token| token.grant == grant)
            .max_by_key(|token| token.number);
        newest.is_none_or(|newest| {
            let life = newest.ends.since(newest.issued);
            let old = newest.ends.since(self.now()) <= life / 2;
            old || newest.revoked || self.was_refused(token(newest))
        })
    }

    fn was_refused(&self, token: Token) -> bool {
        let stage = self.stage.as_ref();
        stage.is_some_and(|stage| {
            let mut asked = stage.evidence.mcp();
            asked.any(|mcp| mcp.token == Some(token) && mcp.status == 401)
        })
    }
}

fn token(token: &AccessToken) -> Token {
    Token {
        grant: token.grant,
        number: token.number,
    }
}

/// The JSON-RPC message in a request.
fn message(request: &Request) -> Option<Value> {
    request.json().filter(Value::is_object)
}

fn registered(reply: &Reply) -> What {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let types = body["grant_types"].as_array();
    What::Registered {
        may_refresh: types.is_some_and(|types| types.iter().any(|name| name == "refresh_token")),
    }
}

fn renewed(sent: Refresh, reply: &Reply) -> What {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let scope = body["scope"].as_str().map(crate::wire::words);
    let outcome = match (reply.lost, reply.status) {
        (true, _) => Outcome::Lost,
        (false, 200) => Outcome::Renewed {
            scope: scope.unwrap_or_default(),
        },
        _ => Outcome::Refused,
    };
    What::Refresh(Refresh { outcome, ..sent })
}

fn mcp(
    request: &Request,
    message: Option<&Value>,
    token: Option<Token>,
    reply: &Reply,
    executed: bool,
) -> What {
    let method = message.and_then(|message| message["method"].as_str());
    let id = message
        .map(|message| &message["id"])
        .filter(|id| !id.is_null());
    let session = request.header("mcp-session-id").unwrap_or_default();
    What::Mcp(Mcp {
        http: request.method.clone(),
        method: method.map(str::to_owned),
        id: id.map(|id| format!("{session} {id}")),
        token,
        status: reply.status,
        executed,
    })
}
