//! What a person pastes at the end of a sign-in in a browser elsewhere.

use crate::{
    oauth::authorize::{RedirectError, SignIn, read_redirect},
    secret::SecretString,
    signin::{ConnectError, Prompter},
};

/// What was pasted may be cut short or from another sign-in: the person may try again for as long as lines come. A terminal
/// may have broken the address into lines.
pub(super) async fn pasted(
    sign_in: &SignIn,
    person: &dyn Prompter,
) -> Result<SecretString, ConnectError> {
    let mut wrong = None;
    let mut before = SecretString::new(String::new());
    while let Some(line) = person.paste().await {
        let whole = joined(&before, &line);
        let alone = read_redirect(sign_in, &query_of(&line));
        match alone
            .or_else(|error| read_redirect(sign_in, &query_of(&whole)).map_err(|_other| error))
        {
            Ok(code) => return Ok(code),
            Err(error @ (RedirectError::StateMismatch | RedirectError::NoCode)) => {
                person.paste_again(&error);
                wrong = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
        before = whole;
    }
    Err(wrong.map_or(ConnectError::NothingPasted, ConnectError::Redirect))
}

/// A line behind those before it; an address begins a new one.
#[expect(clippy::disallowed_methods, reason = "what was pasted is put together")]
fn joined(before: &SecretString, line: &SecretString) -> SecretString {
    let line = line.expose().trim();
    if line.starts_with("http") {
        return line.to_owned().into();
    }
    format!("{}{line}", before.expose()).into()
}

/// The query of a pasted URL; what has none is taken for the query itself. Some pages answer in the fragment, or show code
/// and state with a `#` between them.
#[expect(
    clippy::disallowed_methods,
    reason = "the code is read out of what was pasted"
)]
fn query_of(pasted: &SecretString) -> String {
    let line = pasted.expose().trim();
    let line = line
        .trim_matches(['"', '\'', '`', '<', '>'])
        .replace("&amp;", "&");
    let (head, query) = line.split_once('?').unwrap_or(("", &line));
    let (query, fragment) = query.split_once('#').unwrap_or((query, ""));
    let answers = |part: &str| part.contains("state=") || part.contains("code=");
    if head.is_empty() && !query.contains(['=', '/', '&']) && !fragment.is_empty() {
        let mut both = form_urlencoded::Serializer::new(String::new());
        both.append_pair("code", query)
            .append_pair("state", fragment);
        return both.finish();
    }
    if !answers(query) && answers(fragment) {
        return fragment.to_owned();
    }
    query.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signin::SignInPrompt;

    #[test]
    fn the_query_is_found_in_whatever_is_pasted() {
        for pasted in [
            "http://127.0.0.1:1/callback?code=c&state=s",
            "  \"http://127.0.0.1:1/callback?code=c&state=s\"\r\n",
            "<http://127.0.0.1:1/callback?code=c&state=s#_=_>",
            "code=c&state=s",
            "http://127.0.0.1:1/callback?code=c&amp;state=s",
            "https://me.example/done#code=c&state=s",
            "c#s",
            "`c#s`",
        ] {
            assert_eq!(
                query_of(&pasted.to_owned().into()),
                "code=c&state=s",
                "{pasted}"
            );
        }
    }

    /// Pastes these lines.
    struct Lines(std::sync::Mutex<std::collections::VecDeque<String>>);

    #[async_trait::async_trait]
    impl Prompter for Lines {
        fn invite(&self, _: &SignInPrompt) {}

        async fn paste(&self) -> Option<SecretString> {
            self.0.lock().unwrap().pop_front().map(Into::into)
        }

        fn paste_again(&self, _: &RedirectError) {}
    }

    #[tokio::test]
    async fn an_address_that_a_terminal_broke_into_lines_is_put_together() {
        let metadata = serde_json::from_str(r#"{"issuer":"https://as.example"}"#).unwrap();
        let seams = crate::platform::clock::Seams::system();
        let uri = "http://127.0.0.1:1/callback";
        let sign_in = SignIn::begin(&seams, &metadata, uri.to_owned());
        #[expect(clippy::disallowed_methods, reason = "the test plays the person")]
        let state = sign_in.state.expose().clone();
        let whole = format!("{uri}?code=c1&state={state}");
        let (head, tail) = whole.split_at(whole.len() - 5);
        let lines = ["hello", head, tail].map(str::to_owned);
        let person = Lines(std::sync::Mutex::new(lines.into()));
        let code = pasted(&sign_in, &person).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test looks at it")]
        let code = code.expose().clone();
        assert_eq!(code, "c1");
        let other = Lines(std::sync::Mutex::new(
            [tail.to_owned(), head.to_owned()].into(),
        ));
        assert!(pasted(&sign_in, &other).await.is_err());
    }
}
