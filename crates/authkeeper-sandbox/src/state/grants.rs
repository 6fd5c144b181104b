//! Grants and their tokens: made, issued, revoked.

use super::SandboxState;
use crate::{
    clock::SandboxTime,
    events::Mood,
    profile::Replay,
    random,
    store::{AccessTokenEntry, GrantEntry, RefreshTokenEntry, TokenResponseBody},
};

impl SandboxState {
    pub(crate) fn may_refresh(&self, client: &str) -> bool {
        self.may_use(client, "refresh_token")
    }

    /// Whether a client may use a grant type. In a built-in scenario, which is about refreshing, every client may refresh.
    pub(crate) fn may_use(&self, client: &str, grant_type: &str) -> bool {
        let known = self.store.clients.get(client);
        let overridden = self.overrides.is_some() && grant_type == "refresh_token";
        known.is_some_and(|client| overridden || client.may(grant_type))
    }

    pub(crate) fn new_grant(
        &mut self,
        user: Option<String>,
        client: &str,
        resource: Option<String>,
    ) -> u32 {
        let number = self
            .store
            .grants
            .keys()
            .next_back()
            .map_or(1, |last| last + 1);
        let grant = GrantEntry {
            user,
            client: client.to_owned(),
            resource,
            since: self.now(),
            generation: 0,
            access_count: 0,
            dead: None,
            current: None,
            previous: None,
        };
        self.store.grants.insert(number, grant);
        number
    }

    /// Issues an access token, with a refresh token if asked to.
    pub(crate) fn issue(
        &mut self,
        grant: u32,
        scope: Vec<String>,
        resource: Option<String>,
        with_refresh: bool,
    ) -> TokenResponseBody {
        let now = self.now();
        let ends = now.plus(self.rules.ttl);
        let answer = TokenResponseBody {
            access: random::secret(),
            refresh: with_refresh.then(random::secret),
            scope: scope.clone(),
            resource: resource.clone(),
        };
        let Some(found) = self.store.grants.get_mut(&grant) else {
            return answer;
        };
        found.generation += 1;
        found.access_count += 1;
        let access = AccessTokenEntry {
            grant,
            number: found.access_count,
            generation: found.generation,
            scope: scope.clone(),
            audience: resource,
            issued: now,
            ends,
            revoked: false,
            used: false,
        };
        self.counters.access_tokens_issued += 1;
        self.store.access.insert(answer.access.clone(), access);
        if let Some(text) = &answer.refresh {
            self.keep_refresh(grant, text.clone(), scope, (now, ends));
        }
        answer
    }

    fn keep_refresh(
        &mut self,
        number: u32,
        text: String,
        scope: Vec<String>,
        (now, access_ends): (SandboxTime, SandboxTime),
    ) {
        let two = self.habits().replay == Replay::NewPairUntilSuccessorUsed;
        let Some(grant) = self.store.grants.get_mut(&number) else {
            return;
        };
        let token = RefreshTokenEntry {
            grant: number,
            generation: grant.generation,
            scope,
            issued: now,
            used: now,
            access_ends,
            presented: 0,
            spent: None,
            answer: None,
        };
        let before = grant.current.replace(text.clone());
        // With two valid generations, an unused successor is replaced by the newest.
        let given_way = before.and_then(|before| self.store.refresh.get_mut(&before));
        if let Some(before) = given_way.filter(|_| two) {
            before.spent.get_or_insert(now);
        }
        self.store.refresh.insert(text, token);
    }

    /// Revokes a grant as this profile does, and counts it.
    pub(crate) fn kill(&mut self, grant: u32, reason: &'static str) {
        let access_too = self.habits().access_dies_with_grant;
        if self.store.kill(grant, reason, access_too) {
            self.counters.grants_killed += 1;
            self.say(Mood::Bad, format!("grant {grant} is dead: {reason}"));
        }
    }
}
