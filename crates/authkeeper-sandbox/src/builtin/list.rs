//! The built-in scenarios.

use std::time::Duration;

use super::{
    BuiltIn, Revision, Runs,
    judge::{
        blip_survived, carried_on, long_answer, lost_answer_survived, no_endless_refresh,
        one_refresh, remembered, rotation_followed, scope_kept, session_ended, session_kept,
        stopped, stream_reopened,
    },
    plan::{Errand, Hold, Manner, Plan, Strike, When},
};
use crate::profile::Profile;

/// What is played and judged where a row says nothing else.
const PLAIN: BuiltIn = BuiltIn {
    name: "",
    does: "",
    wants: "",
    only: None,
    runs: Runs::Once,
    plan: Plan::default,
    judge: carried_on,
};

pub(super) static ALL: [BuiltIn; 17] = [
    BuiltIn {
        name: "expiry-between-initialize-and-first-call",
        does: "holds the first answer back until the access token has ended",
        wants: "the first call is made with a new token",
        plan: first_answer,
        ..PLAIN
    },
    BuiltIn {
        name: "expiry-mid-session",
        does: "holds the answer to tools/list back until the access token has ended",
        wants: "one refresh, ahead or after the 401, in the same session",
        plan: mid_session,
        judge: session_kept,
        ..PLAIN
    },
    BuiltIn {
        name: "expiry-during-long-sse-answer",
        does: "answers the call as an event stream that goes on past the token's end",
        wants: "the stream is read to its end, and the tool works once",
        plan: || Plan {
            long_answer: true,
            ..Plan::default()
        },
        judge: long_answer,
        ..PLAIN
    },
    BuiltIn {
        name: "expiry-mid-stream",
        does: "ends the server's own stream (GET, subscriptions/listen) with its token, while a call waits",
        wants: "the stream is opened again with a new token, and with Last-Event-ID where there is one",
        plan: mid_stream,
        judge: stream_reopened,
        ..PLAIN
    },
    BuiltIn {
        name: "401-on-delete",
        does: "refuses the access token once the call is answered: the session's end (DELETE) meets a 401",
        wants: "it is ended after a refresh or given up, soon and without a sign-in",
        only: Some(Revision::Handshake),
        plan: || Plan {
            strikes: vec![at("tools/call", &["revoke-access"])],
            errand: Errand {
                end_session: true,
                ..Errand::default()
            },
            ..Plan::default()
        },
        judge: session_ended,
        ..PLAIN
    },
    BuiltIn {
        name: "parallel-calls-one-refresh",
        does: "lets the access token end before eight calls are made at once; refreshing takes a moment",
        wants: "one refresh for all of them",
        plan: || Plan {
            hold: Hold::Answer("tools/list"),
            ..eight_at_once()
        },
        judge: one_refresh,
        ..PLAIN
    },
    BuiltIn {
        name: "parallel-401s-one-refresh",
        does: "refuses the access token, long before its end, to eight calls made at once",
        wants: "one refresh for all of them",
        plan: || Plan {
            strikes: vec![at("tools/list", &["revoke-access"])],
            ..eight_at_once()
        },
        judge: one_refresh,
        ..PLAIN
    },
    BuiltIn {
        name: "rotated-refresh-token-used-next",
        does: "lets the access token end twice; each refresh replaces the refresh token",
        wants: "the second refresh sends what the first one brought",
        plan: || Plan {
            hold: Hold::First(2),
            errand: calls(3),
            ..Plan::default()
        },
        judge: rotation_followed,
        ..PLAIN
    },
    BuiltIn {
        name: "revoked",
        does: "ends the grant after tools/list; a person who is asked says no",
        wants: "the client stops, asks for a sign-in at most once, and says that it failed",
        plan: || Plan {
            strikes: vec![Strike {
                person_gone: true,
                ..at("tools/list", &["revoke"])
            }],
            ..Plan::default()
        },
        judge: stopped,
        ..PLAIN
    },
    BuiltIn {
        name: "rotated-elsewhere",
        does: "starts the client, and then twice at once: the second one gets a refresh token that the other has spent",
        wants: "processes that share a store share one refresh: the second one reads its store again",
        runs: Runs::ThenTwo,
        plan: || Plan {
            hold: Hold::Staggered,
            faults: &["slow-answer=300ms,at=refresh"],
            ..Plan::default()
        },
        judge: remembered,
        ..PLAIN
    },
    BuiltIn {
        name: "two-processes-one-refresh",
        does: "starts the client twice at once after the access token has ended; refreshing takes a second",
        wants: "processes that share a store share one refresh",
        runs: Runs::TwoAgain,
        plan: || Plan {
            faults: &["slow-answer=1s,at=refresh"],
            ..Plan::default()
        },
        judge: remembered,
        ..PLAIN
    },
    BuiltIn {
        name: "refresh-after-restart",
        does: "starts the client again after the access token has ended",
        wants: "the second run refreshes with what the first one stored; nobody signs in again",
        runs: Runs::Again,
        judge: remembered,
        ..PLAIN
    },
    BuiltIn {
        name: "blip-at-refresh",
        does: "answers the first refresh with 503 and cuts the second before it is read",
        wants: "nobody is signed out: the client tries again later",
        plan: || Plan {
            faults: &["status=503,times=1,at=refresh,retry_after=1s"],
            strikes: vec![Strike {
                when: When::Struck(1),
                words: &["fault cut,times=1,at=refresh"],
                person_gone: false,
            }],
            ..troubled()
        },
        judge: blip_survived,
        ..PLAIN
    },
    BuiltIn {
        name: "answer-lost-at-refresh",
        does: "serves the first refresh and cuts the answer; a resend gets the same answer",
        wants: "the client asks again with the token it has, seldom, and nobody signs in again",
        plan: || Plan {
            profile: Profile::IdempotentReplay,
            faults: &["answer-lost,times=1,at=refresh"],
            ..troubled()
        },
        judge: lost_answer_survived,
        ..PLAIN
    },
    BuiltIn {
        name: "early-401",
        does: "refuses the access token after tools/list, long before its end",
        wants: "one refresh, and the call is answered",
        plan: || Plan {
            strikes: vec![at("tools/list", &["revoke-access"])],
            ..Plan::default()
        },
        ..PLAIN
    },
    BuiltIn {
        name: "no-loop-on-401",
        does: "refuses every access token after tools/list, however fresh",
        wants: "no endless refreshing or signing in: the client says that it failed",
        plan: || Plan {
            strikes: vec![at("tools/list", &["fault early-401,at=mcp"])],
            ..Plan::default()
        },
        judge: no_endless_refresh,
        ..PLAIN
    },
    BuiltIn {
        name: "scope-kept-on-refresh",
        does: "lets the access token end; the new one is good for what the refresh asks for",
        wants: "that is all that was granted",
        plan: mid_session,
        judge: scope_kept,
        ..PLAIN
    },
];

fn at(served: &'static str, words: &'static [&'static str]) -> Strike {
    Strike {
        when: When::Served(served),
        words,
        person_gone: false,
    }
}

fn calls(calls: usize) -> Errand {
    Errand {
        calls,
        ..Errand::default()
    }
}

fn first_answer() -> Plan {
    Plan {
        hold: Hold::First(1),
        errand: calls(2),
        ..Plan::default()
    }
}

fn mid_session() -> Plan {
    Plan {
        hold: Hold::Answer("tools/list"),
        ..Plan::default()
    }
}

fn mid_stream() -> Plan {
    Plan {
        streams: true,
        errand: Errand {
            listen: true,
            ..Errand::default()
        },
        ..Plan::default()
    }
}

fn eight_at_once() -> Plan {
    Plan {
        faults: &["slow-answer=300ms,at=refresh"],
        tool_takes: Duration::from_millis(300),
        errand: Errand {
            manner: Manner::AtOnce,
            ..calls(8)
        },
        ..Plan::default()
    }
}

fn troubled() -> Plan {
    Plan {
        errand: Errand {
            manner: Manner::UntilOneSucceeds,
            ..calls(8)
        },
        ..mid_session()
    }
}
