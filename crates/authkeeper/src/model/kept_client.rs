//! What is kept of a client that is kept again.

use super::{ClientRegistration, ClientSecret};

/// How many secrets of one client are kept beside what was refused: a provider lets two be good at once, seldom three.
pub(crate) const MOST_SECRETS: usize = 4;

impl ClientRegistration {
    /// This client in the place of the one that is kept: its new secrets, each with the next id, go in front of those that are
    /// kept, and what is too many goes from the end, and only what was refused. A refusal of the client stays noted unless
    /// a secret is new: nothing is known against that.
    #[must_use]
    pub fn kept_over(&self, known: Option<&Self>, mut next_id: impl FnMut() -> u64) -> Self {
        let new = self.secrets.iter().filter(|secret| secret.id.is_none());
        let has_new = new.clone().next().is_some();
        let mut secrets = known.map_or_else(Vec::new, |known| known.secrets.clone());
        for secret in new.rev() {
            let numbered = ClientSecret {
                id: Some(next_id()),
                refused: None,
                ..secret.clone()
            };
            secrets.insert(0, numbered);
        }
        let mut place = 0;
        secrets.retain(|secret| {
            place += 1;
            place <= MOST_SECRETS || secret.refused.is_none()
        });
        let refused = known.and_then(|known| known.refused);
        Self {
            secrets,
            refused: refused.filter(|_| !has_new),
            ..self.clone()
        }
    }
}
