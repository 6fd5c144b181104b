//! A sign-in that a signal interrupted: what is left of it, and how to resume it.

use authkeeper::model::ConnectionName;

use crate::{
    app::App,
    sign_in_progress::{PromptPlace, lineage},
};

/// Says what is left of the sign-in that was under way, if there was one.
pub(crate) async fn say_interrupted(app: &App) {
    let sign_in = app.sign_in().take();
    if let Some(sign_in) = sign_in {
        let done = lineage(&app.runtime, &sign_in.name).await != sign_in.before;
        app.output.say(&said(&sign_in.name, done, sign_in.sent));
    }
}

fn said(name: &ConnectionName, done: bool, sent: Option<PromptPlace>) -> String {
    match (done, sent) {
        (true, _) => format!("authkeeper: stopped, but the sign-in was done: {name} is connected"),
        (_, Some(PromptPlace::Elsewhere)) => format!(
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
        let name = crate::test_support::notion();
        let said = |done, sent| said(&name, done, sent);
        assert!(said(true, Some(PromptPlace::Here)).ends_with("notion is connected"));
        assert!(said(false, Some(PromptPlace::Elsewhere)).contains("stays open"));
        for ended in [Some(PromptPlace::Here), None] {
            assert!(said(false, ended).ends_with("for a new sign-in"));
        }
    }
}
