//! The built-in scenarios.

use std::time::Duration;

use super::{
    plan::{CallOrder, ClientTask, HeldReply, PlannedStep, ScenarioPlan, Trigger},
    scenario::{BuiltIn, Runs},
};
use crate::{
    profile::Profile,
    revision::Revision,
    scenarios::judge::{
        blip_survived, carried_on, long_answer, lost_answer_survived, no_endless_refresh,
        one_refresh, remembered, rotation_followed, scope_kept, session_ended, session_kept,
        stopped, stream_reopened,
    },
};

impl BuiltIn {
    /// All of them, in the order of the documentation.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The one of this name, which may be written as the suite writes its own: `auth/NAME`.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.strip_prefix("auth/").unwrap_or(name);
        let found = ALL.iter().find(|one| one.name == name);
        found.copied()
    }
}

/// What is played and judged where a row says nothing else.
const PLAIN: BuiltIn = BuiltIn {
    name: "",
    does: "",
    wants: "",
    only: None,
    runs: Runs::Once,
    plan: ScenarioPlan::default,
    judge: carried_on,
};

static ALL: [BuiltIn; 17] = [
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
        plan: || ScenarioPlan {
            long_answer: true,
            ..ScenarioPlan::default()
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
        plan: || ScenarioPlan {
            strikes: vec![at("tools/call", &["revoke-access"])],
            errand: ClientTask {
                end_session: true,
                ..ClientTask::default()
            },
            ..ScenarioPlan::default()
        },
        judge: session_ended,
        ..PLAIN
    },
    BuiltIn {
        name: "parallel-calls-one-refresh",
        does: "lets the access token end before eight calls are made at once; refreshing takes a moment",
        wants: "one refresh for all of them",
        plan: || ScenarioPlan {
            hold: HeldReply::Answer("tools/list"),
            ..eight_at_once()
        },
        judge: one_refresh,
        ..PLAIN
    },
    BuiltIn {
        name: "parallel-401s-one-refresh",
        does: "refuses the access token, long before its end, to eight calls made at once",
        wants: "one refresh for all of them",
        plan: || ScenarioPlan {
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
        plan: || ScenarioPlan {
            hold: HeldReply::First(2),
            errand: calls(3),
            ..ScenarioPlan::default()
        },
        judge: rotation_followed,
        ..PLAIN
    },
    BuiltIn {
        name: "revoked",
        does: "ends the grant after tools/list; a person who is asked says no",
        wants: "the client stops, asks for a sign-in at most once, and says that it failed",
        plan: || ScenarioPlan {
            strikes: vec![PlannedStep {
                person_gone: true,
                ..at("tools/list", &["revoke"])
            }],
            ..ScenarioPlan::default()
        },
        judge: stopped,
        ..PLAIN
    },
    BuiltIn {
        name: "rotated-elsewhere",
        does: "starts the client, and then twice at once: the second one gets a refresh token that the other has spent",
        wants: "processes that share a store share one refresh: the second one reads its store again",
        runs: Runs::ThenTwo,
        plan: || ScenarioPlan {
            hold: HeldReply::Staggered,
            faults: &["slow-answer=300ms,at=refresh"],
            ..ScenarioPlan::default()
        },
        judge: remembered,
        ..PLAIN
    },
    BuiltIn {
        name: "two-processes-one-refresh",
        does: "starts the client twice at once after the access token has ended; refreshing takes a second",
        wants: "processes that share a store share one refresh",
        runs: Runs::TwoAgain,
        plan: || ScenarioPlan {
            faults: &["slow-answer=1s,at=refresh"],
            ..ScenarioPlan::default()
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
        plan: || ScenarioPlan {
            faults: &["status=503,times=1,at=refresh,retry_after=1s"],
            strikes: vec![PlannedStep {
                when: Trigger::Struck(1),
                words: &["fault cut,times=1,at=refresh"],
                person_gone: false,
            }],
            ..retried_mid_session()
        },
        judge: blip_survived,
        ..PLAIN
    },
    BuiltIn {
        name: "answer-lost-at-refresh",
        does: "serves the first refresh and cuts the answer; a resend gets the same answer",
        wants: "the client asks again with the token it has, seldom, and nobody signs in again",
        plan: || ScenarioPlan {
            profile: Profile::IdempotentReplay,
            faults: &["answer-lost,times=1,at=refresh"],
            ..retried_mid_session()
        },
        judge: lost_answer_survived,
        ..PLAIN
    },
    BuiltIn {
        name: "early-401",
        does: "refuses the access token after tools/list, long before its end",
        wants: "one refresh, and the call is answered",
        plan: || ScenarioPlan {
            strikes: vec![at("tools/list", &["revoke-access"])],
            ..ScenarioPlan::default()
        },
        ..PLAIN
    },
    BuiltIn {
        name: "no-loop-on-401",
        does: "refuses every access token after tools/list, however fresh",
        wants: "no endless refreshing or signing in: the client says that it failed",
        plan: || ScenarioPlan {
            strikes: vec![at("tools/list", &["fault early-401,at=mcp"])],
            ..ScenarioPlan::default()
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

fn at(served: &'static str, words: &'static [&'static str]) -> PlannedStep {
    PlannedStep {
        when: Trigger::Served(served),
        words,
        person_gone: false,
    }
}

fn calls(calls: usize) -> ClientTask {
    ClientTask {
        calls,
        ..ClientTask::default()
    }
}

fn first_answer() -> ScenarioPlan {
    ScenarioPlan {
        hold: HeldReply::First(1),
        errand: calls(2),
        ..ScenarioPlan::default()
    }
}

fn mid_session() -> ScenarioPlan {
    ScenarioPlan {
        hold: HeldReply::Answer("tools/list"),
        ..ScenarioPlan::default()
    }
}

fn mid_stream() -> ScenarioPlan {
    ScenarioPlan {
        streams: true,
        errand: ClientTask {
            listen: true,
            ..ClientTask::default()
        },
        ..ScenarioPlan::default()
    }
}

fn eight_at_once() -> ScenarioPlan {
    ScenarioPlan {
        faults: &["slow-answer=300ms,at=refresh"],
        tool_takes: Duration::from_millis(300),
        errand: ClientTask {
            manner: CallOrder::AtOnce,
            ..calls(8)
        },
        ..ScenarioPlan::default()
    }
}

fn retried_mid_session() -> ScenarioPlan {
    ScenarioPlan {
        errand: ClientTask {
            manner: CallOrder::UntilOneSucceeds,
            ..calls(8)
        },
        ..mid_session()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn every_scenario_is_found_by_its_name_and_can_be_played() {
        for one in BuiltIn::all() {
            let suite = one.suite_name();
            assert_eq!(BuiltIn::named(&suite).map(|one| one.name), Some(one.name));
            let plan = (one.plan)();
            for fault in plan.faults {
                assert!(fault.parse::<Fault>().is_ok(), "{}: {fault}", one.name);
            }
            for strike in &plan.strikes {
                for words in strike.words {
                    let action = words.parse::<crate::action::Action>();
                    assert!(action.is_ok(), "{}: {words}", one.name);
                }
            }
            assert!(one.context()["toolCalls"].is_array(), "{}", one.name);
        }
        assert!(BuiltIn::named("night.toml").is_none());
    }
}
