//! What to do where the provider does not take the client that authkeeper registered there by itself, or that its metadata
//! document describes. Nobody gave that client, so nobody is asked for its id or its secret.

use authkeeper::{oauth::authorize::RedirectError, signin::ConnectError};

use crate::exit::Exit;

/// None where the client makes no difference.
pub(super) fn advice(error: &ConnectError) -> Option<(Exit, String)> {
    let own = |exit, next: &str| Some((exit, next.to_owned()));
    match error {
        ConnectError::ClientRefused { .. } => own(
            Exit::Config,
            "run the same command again: authkeeper registers another client there",
        ),
        ConnectError::TimedOut(_) => own(
            Exit::Person,
            "run the same command again and open the printed URL in a browser on this machine (set BROWSER to the \
             browser's command if none opened); or run the same command with --headless, for a browser elsewhere. If the \
             page showed an error, the provider may have forgotten authkeeper's client: after two sign-ins that nobody \
             finished another one is registered",
        ),
        ConnectError::Unexplained { .. } => own(
            Exit::Unavailable,
            "run the same command again; if it stays, the provider's words are for its operator",
        ),
        ConnectError::Redirect(RedirectError::Refused(said)) if is_of_client(said) => own(
            Exit::Permission,
            "the provider does not take the client that authkeeper registered there: run the same command again; if it stays, \
             its operator has to allow clients that register themselves",
        ),
        ConnectError::CodeRefused { refused, .. } if is_of_client(&refused.code) => own(
            Exit::Permission,
            "the provider does not take the client that authkeeper registered there: run the same command again; if it stays, \
             its operator has to allow clients that register themselves",
        ),
        _ => None,
    }
}

fn is_of_client(said: &str) -> bool {
    ["unauthorized_client", "invalid_client"]
        .iter()
        .any(|code| said.starts_with(code))
}
