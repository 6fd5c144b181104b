//! Scopes that calls were refused for lack of (RFC 6750 §3.1), until a sign-in brings them: what is wanted, of which
//! operation, and how many sign-ins have not brought it. Pure transitions; each is kept by compare-and-set.

use serde::{Deserialize, Serialize};

use super::{Lineage, Scope};

/// So many sign-ins in vain are enough: the next refusal of the same operation is for good (MCP 2026-07-28
/// "StepUpDecision-Up Authorization Flow": "no more than a few times").
pub const MOST_IN_VAIN: u32 = 3;

/// So many operations of one connection are kept, the newest: a server that invents paths must not fill the store.
const MOST_OPERATIONS: usize = 64;

/// What one call was refused for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRefusal {
    /// What was called: the JSON-RPC method and the tool's name, or the HTTP method and the path.
    pub operation: String,
    /// The scopes that the challenge names, byte for byte; none if it names none.
    pub scope: Option<Scope>,
    /// Which sign-in the token stems from that was shown.
    pub lineage: Lineage,
}

/// One operation that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RefusedOperation {
    operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// With a token of which sign-in it was refused last.
    lineage: u64,
    /// How many sign-ins asked for what it needs and did not bring it.
    in_vain: u32,
    /// Whether the next sign-in is to ask for it.
    wanted: bool,
    /// The authorization server itself does not give it: a sign-in that asked for it would fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    barred: bool,
}

impl RefusedOperation {
    fn told(&self) -> (&str, Option<&str>) {
        (&self.operation, self.scope.as_deref())
    }
}

/// What is to be done about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepUpDecision {
    /// A sign-in that asks for more may bring it.
    SignIn,
    /// Sign-ins have not brought it, and another one would not either.
    GiveUp,
}

/// What the next sign-in asks for beside what was asked for before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeRequest {
    /// What the challenges named, the earliest first.
    pub scope: Option<Scope>,
    /// A challenge named nothing: what the resource's metadata lists is asked for too.
    pub unnamed: bool,
}

/// The operations of one connection that were refused and have not got through since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepUps(Vec<RefusedOperation>);

impl StepUps {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this operation was refused and has not got through since.
    pub fn knows(&self, operation: &str) -> bool {
        self.0.iter().any(|one| one.operation == operation)
    }

    /// What the next sign-in should ask for; none if nothing.
    pub fn scope_request(&self) -> Option<ScopeRequest> {
        self.wanted().next()?;
        let scopes = self.wanted().filter_map(|(_, scope)| scope.map(Scope::new));
        Some(ScopeRequest {
            scope: scopes.reduce(|all, more| all.union(&more)),
            unnamed: self.wanted().any(|(_, scope)| scope.is_none()),
        })
    }

    /// The operations that wait for a sign-in, and what each needs.
    pub fn wanted(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let wanted = self.0.iter().filter(|one| one.wanted && !one.barred);
        wanted.map(RefusedOperation::told)
    }

    /// The operations that were refused with tokens of this sign-in, and for which another one brings nothing.
    pub fn given_up(&self, lineage: Lineage) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.all_given_up(lineage).map(RefusedOperation::told)
    }

    /// What those need; none if there are none.
    pub fn given_up_scope(&self, lineage: Lineage) -> Option<Option<Scope>> {
        self.all_given_up(lineage).next()?;
        let all = self.all_given_up(lineage);
        let scopes = all.filter_map(|one| one.scope.as_deref().map(Scope::new));
        Some(scopes.reduce(|all, more| all.union(&more)))
    }

    fn all_given_up(&self, lineage: Lineage) -> impl Iterator<Item = &RefusedOperation> {
        let over =
            |one: &&RefusedOperation| !one.wanted && (one.barred || one.in_vain >= MOST_IN_VAIN);
        let all = self.0.iter().filter(move |one| one.lineage == lineage.0);
        all.filter(over)
    }

    /// How many sign-ins have not brought what this operation needs.
    pub fn in_vain(&self, operation: &str) -> u32 {
        let known = self.0.iter().find(|one| one.operation == operation);
        known.map_or(0, |one| one.in_vain)
    }

    /// A call was refused. `asked` is what the sign-in had asked for that its token stems from: one that asked for all of it
    /// counts, and so does each one since the last refusal, whatever the server names this time.
    #[must_use]
    pub fn refused(
        mut self,
        refusal: &ScopeRefusal,
        asked: Option<&Scope>,
    ) -> (Self, StepUpDecision) {
        let place = self.place(&refusal.operation);
        let before = place.map(|place| self.0.remove(place));
        let scope = refusal.scope.as_ref();
        let had_asked = scope
            .zip(asked)
            .is_some_and(|(scope, asked)| asked.covers(scope));
        let in_vain = match &before {
            None => u32::from(had_asked),
            Some(one) if one.lineage < refusal.lineage.0 => one.in_vain.saturating_add(1),
            Some(one) => one.in_vain,
        };
        let barred = before.as_ref().is_some_and(|one| one.barred);
        let (step, wanted) = if barred || in_vain >= MOST_IN_VAIN {
            (StepUpDecision::GiveUp, false)
        } else {
            (StepUpDecision::SignIn, true)
        };
        let one = RefusedOperation {
            operation: refusal.operation.clone(),
            scope: scope.map(|scope| scope.as_str().to_owned()),
            lineage: refusal.lineage.0,
            in_vain,
            wanted,
            barred,
        };
        // Where it was: what is asked for first does not depend on which call came last.
        let place = place.unwrap_or(self.0.len());
        self.0.insert(place, one);
        if self.0.len() > MOST_OPERATIONS {
            self.0.remove(0);
        }
        (self, step)
    }

    /// A sign-in is done: it has asked for what was wanted.
    #[must_use]
    pub fn signed_in(mut self) -> Self {
        // What the server does not give was left out; somebody may have allowed it since.
        self.0.retain(|one| !one.barred);
        for one in &mut self.0 {
            one.wanted = false;
        }
        self
    }

    /// The authorization server does not give what was wanted: asking again would only fail.
    #[must_use]
    pub fn not_given(mut self) -> Self {
        for one in self.0.iter_mut().filter(|one| one.wanted) {
            (one.wanted, one.barred) = (false, true);
        }
        self
    }

    /// Asking again brings this operation nothing.
    #[must_use]
    pub fn give_up(mut self, operation: &str) -> Self {
        if let Some(place) = self.place(operation) {
            self.0[place].wanted = false;
            self.0[place].in_vain = MOST_IN_VAIN;
        }
        self
    }

    /// A call of this operation got through.
    #[must_use]
    pub fn worked(mut self, operation: &str) -> Self {
        self.0.retain(|one| one.operation != operation);
        self
    }

    fn place(&self, operation: &str) -> Option<usize> {
        self.0.iter().position(|one| one.operation == operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(operation: &str, scope: &str, lineage: u64) -> ScopeRefusal {
        ScopeRefusal {
            operation: operation.to_owned(),
            scope: (!scope.is_empty()).then(|| Scope::new(scope)),
            lineage: Lineage(lineage),
        }
    }

    fn asked(scope: &str) -> Option<Scope> {
        (!scope.is_empty()).then(|| Scope::new(scope))
    }

    #[test]
    fn three_sign_ins_in_vain_are_enough() {
        let mut all = StepUps::default();
        let mut had = asked("read");
        for lineage in 1..=3 {
            let (next, step) =
                all.refused(&refusal("tools/call x", "write", lineage), had.as_ref());
            assert_eq!(step, StepUpDecision::SignIn, "lineage {lineage}");
            // The same token again is the same attempt.
            let (next, step) =
                next.refused(&refusal("tools/call x", "write", lineage), had.as_ref());
            assert_eq!(step, StepUpDecision::SignIn);
            had = asked("read write");
            all = next.signed_in();
            assert_eq!(all.scope_request(), None, "the sign-in has asked for it");
        }
        let (all, step) = all.refused(&refusal("tools/call x", "write", 4), had.as_ref());
        assert_eq!((step, all.scope_request()), (StepUpDecision::GiveUp, None));
        let (all, step) = all.refused(&refusal("tools/call y", "admin", 4), had.as_ref());
        assert_eq!(
            step,
            StepUpDecision::SignIn,
            "another operation has its own count"
        );
        assert_eq!(all.scope_request().unwrap().scope, asked("admin"));
    }

    #[test]
    fn a_sign_in_that_had_asked_for_it_counts_though_nothing_was_refused_before() {
        let had = asked("admin");
        let mut all = StepUps::default();
        for (lineage, expected) in [
            (1, StepUpDecision::SignIn),
            (2, StepUpDecision::SignIn),
            (3, StepUpDecision::GiveUp),
        ] {
            let (next, step) = all.refused(&refusal("tools/list", "admin", lineage), had.as_ref());
            assert_eq!(step, expected, "lineage {lineage}");
            all = next.signed_in();
        }
    }

    #[test]
    fn a_server_that_names_another_scope_each_time_gets_no_further() {
        let mut all = StepUps::default();
        let mut steps = vec![];
        for (lineage, scope) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
            let (next, step) =
                all.refused(&refusal("GET /x", scope, lineage), asked("a b c").as_ref());
            steps.push(step);
            all = next.signed_in();
        }
        assert_eq!(steps[..2], [StepUpDecision::SignIn, StepUpDecision::SignIn]);
        assert_eq!(steps.last(), Some(&StepUpDecision::GiveUp));
    }

    #[test]
    fn wishes_add_up_the_earliest_first_and_byte_for_byte() {
        let all = StepUps::default();
        let (all, _) = all.refused(&refusal("a", "Files:Write  x/y", 1), None);
        let (all, _) = all.refused(&refusal("b", "mail files:write", 1), None);
        let (all, _) = all.refused(&refusal("a", "Files:Write  x/y", 1), None);
        assert_eq!(
            all.scope_request().unwrap().scope,
            asked("Files:Write  x/y mail files:write")
        );
        let (all, _) = all.refused(&refusal("c", "", 1), None);
        assert!(all.scope_request().unwrap().unnamed);
    }

    #[test]
    fn what_got_through_is_wanted_no_more() {
        let (all, _) = StepUps::default().refused(&refusal("a", "x", 1), None);
        let (all, _) = all.refused(&refusal("b", "y", 1), None);
        assert_eq!(
            all.clone().worked("a").scope_request().unwrap().scope,
            asked("y")
        );
        assert!(all.knows("a") && !all.knows("c"));
        assert!(all.worked("a").worked("b").is_empty());
    }

    #[test]
    fn what_the_server_does_not_give_is_left_out_until_the_next_sign_in() {
        let (all, _) = StepUps::default().refused(&refusal("a", "x", 1), None);
        let all = all.not_given();
        assert_eq!(all.scope_request(), None);
        let (all, step) = all.refused(&refusal("a", "x", 1), None);
        assert_eq!(step, StepUpDecision::GiveUp);
        let (_, step) = all.signed_in().refused(&refusal("a", "x", 2), None);
        assert_eq!(
            step,
            StepUpDecision::SignIn,
            "somebody may have allowed it since"
        );
    }

    #[test]
    fn what_was_given_up_stays_so_until_it_works() {
        let (all, _) = StepUps::default().refused(&refusal("a", "x", 1), None);
        let all = all.give_up("a");
        let (all, step) = all.refused(&refusal("a", "x", 1), None);
        assert_eq!(
            (step, all.scope_request(), all.in_vain("a")),
            (StepUpDecision::GiveUp, None, 3)
        );
        assert_eq!(all.worked("a").in_vain("a"), 0);
    }

    #[test]
    fn a_server_that_invents_operations_does_not_fill_the_store() {
        let mut all = StepUps::default();
        for number in 0..200 {
            (all, _) = all.refused(&refusal(&number.to_string(), "x", 1), None);
        }
        assert_eq!(all.0.len(), MOST_OPERATIONS);
        let kept = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<StepUps>(&kept).unwrap(), all);
    }
}
