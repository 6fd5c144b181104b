//! The evidence of a run: everything that reached the sandbox, in order, with tokens named by number.

use http::Method;

use crate::clock::SandboxTime;

/// The most observations that are kept. A client in an endless loop is recognized long before.
const KEPT: usize = 20_000;

/// All observations, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence(Vec<EvidenceEntry>);

/// An observation.
#[derive(Clone, Debug)]
pub(crate) struct EvidenceEntry {
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
    /// A person signed in.
    SignedIn {
        grant: GrantRef,
        scope: Vec<String>,
    },
    Refresh(RefreshRecord),
    Mcp(McpRecord),
    /// A stream of the server's own was opened.
    StreamOpened {
        token: Option<AccessTokenRef>,
        last_event_id: Option<String>,
    },
    /// A long answer ended; `whole` if all of it was taken.
    AnswerEnded {
        whole: bool,
    },
    /// A planned step was performed.
    Struck,
}

/// A grant and its client.
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
    /// `None`: the refresh token is unknown.
    pub(crate) grant: Option<u32>,
    /// The generation of the refresh token.
    pub(crate) generation: u32,
    /// It was spent before.
    pub(crate) replayed: bool,
    /// The newest access token had ended, was refused, or was in the second half of its lifetime.
    pub(crate) needed: bool,
    pub(crate) scope: Option<Vec<String>>,
    pub(crate) resource: Option<String>,
    pub(crate) outcome: RefreshAnswer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefreshAnswer {
    /// New tokens, with this scope.
    Renewed { scope: Vec<String> },
    /// New tokens, whose reply was lost.
    Lost,
    /// A refusal.
    Refused,
    /// A fault answered in place of the token endpoint.
    Faulty,
}

/// A request to the MCP server.
#[derive(Clone, Debug)]
pub(crate) struct McpRecord {
    pub(crate) http: Method,
    /// The method of the JSON-RPC message.
    pub(crate) method: Option<String>,
    /// Its id, with the session's id.
    pub(crate) id: Option<String>,
    pub(crate) token: Option<AccessTokenRef>,
    pub(crate) status: u16,
    /// A tool was executed.
    pub(crate) executed: bool,
}

impl McpRecord {
    pub(crate) fn is(&self, method: &str) -> bool {
        self.method.as_deref() == Some(method)
    }
}

impl Evidence {
    pub(crate) fn add(&mut self, seen: EvidenceEntry) {
        if self.0.len() < KEPT {
            self.0.push(seen);
        }
    }

    pub(crate) fn all(&self) -> &[EvidenceEntry] {
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

    /// The observations after the first match.
    pub(crate) fn after(&self, is: impl Fn(&Observed) -> bool) -> Self {
        let first = self.0.iter().position(|seen| is(&seen.what));
        let rest = first.map_or(&[][..], |first| &self.0[first + 1..]);
        Self(rest.to_vec())
    }

    /// The observations of this run and later ones.
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
