//! What the browser shows at the end of a sign-in. It is not said that somebody is signed in before the tokens are kept.

use http::StatusCode;

use super::ConnectError;
use crate::{
    model::{ConnectionName, Issuer},
    oauth::sign_in_page::SignInPage,
};

/// For which connection somebody signs in, and where.
#[derive(Clone, Debug)]
pub(super) struct SignInPlace {
    pub(super) name: ConnectionName,
    pub(super) url: String,
    pub(super) issuer: Issuer,
}

impl SignInPlace {
    /// The tokens are kept. `account` is who signed in, if the provider says so.
    pub(super) fn done(&self, account: Option<&str>) -> SignInPage {
        let text = "You can close this page. authkeeper keeps the connection fresh from here.";
        let page = self.described(SignInPage::new(StatusCode::OK, "Signed in", text));
        match account {
            Some(account) => page.with("Account", account),
            None => page,
        }
    }

    /// It came to nothing, and why. `next` is what the person does about it.
    pub(super) fn failed(&self, error: &ConnectError, next: Option<String>) -> SignInPage {
        let status = match error {
            ConnectError::Redirect(_) => StatusCode::BAD_REQUEST,
            ConnectError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_GATEWAY,
        };
        let page = self.described(SignInPage::new(status, "Not signed in", error.to_string()));
        page.next(next.unwrap_or_else(|| "the terminal says what to do".to_owned()))
    }

    fn described(&self, page: SignInPage) -> SignInPage {
        page.with("Connection", self.name.as_str())
            .with("Server", &self.url)
            .with("Provider", self.issuer.as_str())
    }
}
