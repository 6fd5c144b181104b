//! A sign-in that a signal cut off: what is left of it, and how to go on.

use authkeeper::{model::ConnectionName, signin::PromptAction};

use crate::app::App;

/// A sign-in under way.
pub(crate) struct SignIn {
    name: ConnectionName,
    /// The lineage before it: a sign-in that is done makes the next.
    before: Option<u64>,
    /// Where the person was sent; none if nobody was asked yet.
    sent: Option<Sent>,
}

/// Where the person was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// To a browser that comes back to this process: it ends with it.
    Here,
    /// Somewhere else, with a URL or a code that stays good.
    Elsewhere,
}

impl SignIn {
    pub(super) async fn begin(app: &App, name: &ConnectionName) -> Self {
        Self {
            name: name.clone(),
            before: lineage(app, name).await,
            sent: None,
        }
    }

    pub(super) fn sends_to(&mut self, errand: &PromptAction) {
        self.sent = Some(match errand {
            PromptAction::Open(_) => Sent::Here,
            _ => Sent::Elsewhere,
        });
    }
}

async fn lineage(app: &App, name: &ConnectionName) -> Option<u64> {
    let status = app.runtime.status(name).await;
    status.ok().map(|status| status.lineage)
}

/// Says what is left of the sign-in that this process was at, if it was at one.
pub(crate) async fn say_cut_off(app: &App) {
    let sign_in = app.sign_in().take();
    if let Some(sign_in) = sign_in {
        let done = lineage(app, &sign_in.name).await != sign_in.before;
        app.output.say(&said(&sign_in.name, done, sign_in.sent));
    }
}

fn said(name: &ConnectionName, done: bool, sent: Option<Sent>) -> String {
    match (done, sent) {
        (true, _) => format!("authkeeper: stopped, but the sign-in was done: {name} is connected"),
        (_, Some(Sent::Elsewhere)) => format!(
            "authkeeper: stopped; nothing was changed for {name}, and the sign-in stays open: run the same command again \
             to go on with it"
        ),
        _ => format!(
            "authkeeper: stopped; nothing was changed for {name}: run the same command again for a new sign-in"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_depends_on_how_far_it_was() {
        let name = crate::carry::tests::notion();
        let said = |done, sent| said(&name, done, sent);
        assert!(said(true, Some(Sent::Here)).ends_with("notion is connected"));
        assert!(said(false, Some(Sent::Elsewhere)).contains("stays open"));
        for ended in [Some(Sent::Here), None] {
            assert!(said(false, ended).ends_with("for a new sign-in"));
        }
    }
}
