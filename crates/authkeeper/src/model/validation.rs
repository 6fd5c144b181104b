//! The regular proof that a connection works although nobody calls: a call that has succeeded before is made again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GrantId, Moment};

/// A call that a server has answered with a connection's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProvenCall {
    /// The connection's own check URL, or its provider's.
    Request,
    /// `tools/list` of an MCP server.
    ListTools,
    /// A GET of the connection's URL.
    Get,
}

impl ProvenCall {
    /// How many requests it costs at most: of `tools/list` the handshake, its confirmation and the end of the session too.
    pub const fn requests(self) -> u32 {
        match self {
            Self::Request | Self::Get => 1,
            Self::ListTools => 4,
        }
    }
}

/// When a connection was validated last, and how. A connection whose server has answered no such call has none: a call that
/// never worked proves nothing, and its 401 would be a false alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// The call.
    pub call: ProvenCall,
    /// The grant that it was made with.
    pub grant: GrantId,
    /// When a process began it last.
    #[serde(with = "super::failing::as_text")]
    pub begun: Moment,
}

impl Validation {
    /// Whether the call is to be made again. Another grant proves itself first.
    pub fn is_due(&self, grant: &GrantId, every: Duration, now: Moment) -> bool {
        self.grant == *grant && now.surely_since(self.begun) >= every
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootId, BootStamp};

    fn at(second: u64) -> Moment {
        Moment {
            wall: jiff::Timestamp::UNIX_EPOCH,
            boot: BootStamp {
                id: BootId(1),
                since: Duration::from_secs(second),
            },
        }
    }

    #[test]
    fn it_is_due_after_its_interval_and_for_the_grant_that_it_proved() {
        let validation = Validation {
            call: ProvenCall::ListTools,
            grant: GrantId::new("g1"),
            begun: at(100),
        };
        let every = Duration::from_mins(5);
        let is_due = |grant: &str, now| validation.is_due(&GrantId::new(grant), every, at(now));
        assert!(!is_due("g1", 399));
        assert!(is_due("g1", 400));
        assert!(!is_due("g2", 400), "a new grant is proven first");
    }

    #[test]
    fn it_is_kept_as_json() {
        let validation = Validation {
            call: ProvenCall::Request,
            grant: GrantId::new("g1"),
            begun: at(1),
        };
        let kept = serde_json::to_vec(&validation).unwrap();
        let read: Validation = serde_json::from_slice(&kept).unwrap();
        assert_eq!(read, validation);
    }
}
