//! Whether anybody could have succeeded, as the sandbox knows it.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::Scene;
use super::client::Failed;
use crate::wait::{pause, unix_moment};

/// How often the sandbox is asked.
const EVERY: Duration = Duration::from_millis(20);
/// A look and what it saw lie so far apart at most, on a machine that is busy.
const BLUR: f64 = 0.25;

/// When nobody could have succeeded: seconds since 1970, from and to.
#[derive(Debug, Default)]
pub(super) struct Truth {
    hopeless: Mutex<Vec<(f64, f64)>>,
}

impl Truth {
    /// Looks until all is over.
    pub(super) fn watch(&self, scene: &Scene<'_>) {
        let mut since = None;
        while !scene.is_over() {
            let now = unix_moment();
            match (is_hopeless(&scene.sandbox.state()), since) {
                (true, None) => since = Some(now),
                (false, Some(from)) => {
                    self.add(from, now);
                    since = None;
                }
                _ => {}
            }
            pause(EVERY);
        }
        if let Some(from) = since {
            self.add(from, unix_moment());
        }
    }

    fn add(&self, from: f64, to: f64) {
        self.hopeless.lock().expect("no panic").push((from, to));
    }

    /// Whether a call fell into such a time.
    pub(super) fn excuses(&self, call: &Failed) -> bool {
        let hopeless = self.hopeless.lock().expect("no panic");
        hopeless
            .iter()
            .any(|(from, to)| call.from < to + BLUR && call.to > from - BLUR)
    }

    /// How many seconds that was in all.
    pub(super) fn hopeless(&self) -> f64 {
        let hopeless = self.hopeless.lock().expect("no panic");
        hopeless.iter().map(|(from, to)| to - from).sum()
    }
}

/// The MCP server answers nobody; or no access token is good and no new one can be had.
fn is_hopeless(state: &Value) -> bool {
    let list = |name: &str| state[name].as_array().cloned().unwrap_or_default();
    let faults: Vec<String> = list("faults")
        .iter()
        .filter_map(|fault| fault["fault"].as_str().map(str::to_owned))
        .collect();
    // What strikes a few times only is over before a second try.
    let lasting = |fault: &&String| !fault.contains("times=");
    let lasting: Vec<&String> = faults.iter().filter(lasting).collect();
    let everywhere = lasting.iter().any(|fault| fault.starts_with("outage"));
    let at = |endpoint: &str| {
        let place = format!("at={endpoint}");
        lasting.iter().any(|fault| fault.contains(&place))
    };
    let good = !list("access").is_empty();
    everywhere || at("mcp") || (!good && at("token"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_nobody_can_get_around_is_hopeless() {
        let state = |faults: &[&str], tokens: usize| {
            let faults: Vec<Value> = faults.iter().map(|fault| json!({"fault": fault})).collect();
            json!({"faults": faults, "access": vec![json!({"grant": 1, "left": 3.0}); tokens]})
        };
        assert!(!is_hopeless(&state(&[], 1)));
        assert!(!is_hopeless(&state(&[], 0)), "a refresh helps");
        assert!(!is_hopeless(&state(&["status=503,at=token"], 1)));
        assert!(is_hopeless(&state(&["status=503,at=token"], 0)));
        assert!(is_hopeless(&state(&["status=503,at=mcp"], 1)));
        assert!(is_hopeless(&state(&["outage"], 1)));
        assert!(!is_hopeless(&state(&["status=503,times=2,at=refresh"], 0)));
        assert!(!is_hopeless(&state(&["early-401,times=1,at=mcp"], 1)));
    }

    #[test]
    fn a_call_is_excused_by_a_time_that_it_fell_into() {
        let truth = Truth::default();
        truth.add(10.0, 20.0);
        let call = |from, to| Failed {
            from,
            to,
            answer: String::new(),
        };
        assert!(truth.excuses(&call(9.0, 10.5)));
        assert!(truth.excuses(&call(20.1, 20.2)));
        assert!(!truth.excuses(&call(20.5, 21.0)));
        assert!(!truth.excuses(&call(1.0, 9.0)));
    }
}
