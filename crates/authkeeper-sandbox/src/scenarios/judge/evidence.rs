//! What a verdict rests on: everything that reached the sandbox, in order, tokens named by number.

use http::Method;

use crate::clock::SandboxTime;

/// As much is kept: a client that goes round in circles is known by then.
const KEPT: usize = 20_000;

/// Everything, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence(Vec<Observation>);

/// Something that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) at: SandboxTime,
    /// During which run of the client, from 0.
    pub(crate) run: usize,
    pub(crate) what: Observed,
}

#[derive(Clone, Debug)]
pub(crate) enum Observed {
    /// A client registered itself.
    Registered {
        may_refresh: bool,
    },
    /// A person was asked to sign in.
    Asked,
    /// A person did.
    SignedIn {
        grant: GrantRef,
        scope: Vec<String>,
    },
    Refresh(RefreshRecord),
    Mcp(McpRecord),
    /// The server's own stream was opened.
    StreamOpened {
        token: Option<AccessTokenRef>,
        last_event_id: Option<String>,
    },
    /// A long answer ended: all of it was taken, or not.
    AnswerEnded {
        whole: bool,
    },
    /// The scenario's strike.
    Struck,
}

/// A grant, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantRef {
    pub(crate) number: u32,
    pub(crate) client: String,
}

/// An access token by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccessTokenRef {
    pub(crate) grant: u32,
    pub(crate) number: u32,
}

/// A refresh token that was sent.
#[derive(Clone, Debug)]
pub(crate) struct RefreshRecord {
    /// None: nobody knows it.
    pub(crate) grant: Option<u32>,
    /// Which one of its grant.
    pub(crate) generation: u32,
    /// It was spent before.
    pub(crate) replayed: bool,
    /// The access token was not worth keeping any more: ended, refused, or in the second half of its life.
    pub(crate) needed: bool,
    pub(crate) scope: Option<Vec<String>>,
    pub(crate) resource: Option<String>,
    pub(crate) outcome: RefreshAnswer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefreshAnswer {
    /// New tokens, with this scope.
    Renewed { scope: Vec<String> },
    /// The same, and the answer was lost.
    Lost,
    /// A clear no.
    Refused,
    /// A fault came before it.
    Faulty,
}

/// A request to the MCP server.
#[derive(Clone, Debug)]
pub(crate) struct McpRecord {
    pub(crate) http: Method,
    /// The method of the JSON-RPC message.
    pub(crate) method: Option<String>,
    /// Its id, with the session's.
    pub(crate) id: Option<String>,
    pub(crate) token: Option<AccessTokenRef>,
    pub(crate) status: u16,
    /// A tool did its work.
    pub(crate) executed: bool,
}

impl McpRecord {
    pub(crate) fn is(&self, method: &str) -> bool {
        self.method.as_deref() == Some(method)
    }
}

impl Evidence {
    pub(crate) fn add(&mut self, seen: Observation) {
        if self.0.len() < KEPT {
            self.0.push(seen);
        }
    }

    pub(crate) fn all(&self) -> &[Observation] {
        &self.0
    }

    pub(crate) fn refreshes(&self) -> impl Iterator<Item = &RefreshRecord> {
        self.0.iter().filter_map(|seen| match &seen.what {
            Observed::Refresh(refresh) => Some(refresh),
            _ => None,
        })
    }

    pub(crate) fn mcp(&self) -> impl Iterator<Item = &McpRecord> {
        self.0.iter().filter_map(|seen| match &seen.what {
            Observed::Mcp(mcp) => Some(mcp),
            _ => None,
        })
    }

    /// What was seen after the first that is so.
    pub(crate) fn after(&self, is: impl Fn(&Observed) -> bool) -> Self {
        let first = self.0.iter().position(|seen| is(&seen.what));
        let rest = first.map_or(&[][..], |first| &self.0[first + 1..]);
        Self(rest.to_vec())
    }

    /// What was seen in this run and later.
    pub(crate) fn since_run(&self, run: usize) -> Self {
        let later = self.0.iter().filter(|seen| seen.run >= run);
        Self(later.cloned().collect())
    }

    pub(crate) fn count(&self, is: impl Fn(&Observed) -> bool) -> usize {
        self.0.iter().filter(|seen| is(&seen.what)).count()
    }

    pub(crate) fn asked(&self) -> usize {
        self.count(|what| matches!(what, Observed::Asked))
    }
}
