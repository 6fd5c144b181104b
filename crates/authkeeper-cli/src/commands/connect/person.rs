//! The person at the terminal: shown where to go, asked for what they bring back.

use async_trait::async_trait;
use authkeeper::{
    oauth::authorize::RedirectError,
    secret::SecretString,
    signin::{ConnectError, PromptAction, Prompter, SignInPrompt},
};
use authkeeper_gateway::browser::BrowserOutcome;
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines, Stdin},
    sync::Mutex,
};

use crate::{
    app::App,
    failure,
    output::{CommandOutput, Paint, span},
    settings::Environment,
};

/// No pasted URL is longer.
const LONGEST_LINE: usize = 64 * 1024;

/// The person at this terminal, or whatever is at the other end of the pipe.
pub(super) struct Terminal<'a> {
    app: &'a App,
    environment: &'a Environment,
    output: CommandOutput,
    /// Whether a person gave the client.
    client_given: bool,
    lines: Mutex<Lines<BufReader<Stdin>>>,
}

impl<'a> Terminal<'a> {
    pub(super) fn new(app: &'a App, client_given: bool) -> Self {
        Self {
            client_given,
            app,
            environment: &app.environment,
            output: app.output,
            lines: Mutex::new(BufReader::new(tokio::io::stdin()).lines()),
        }
    }

    /// The URL holds this sign-in's `state`, so it is shown on the terminal and nowhere else.
    #[expect(
        clippy::disallowed_methods,
        reason = "the person who signs in must see where to go"
    )]
    fn open(&self, url: &SecretString) {
        let opened = self.environment.browser().open(url.expose());
        if let BrowserOutcome::Failed(why) = &opened {
            let warn = self
                .output
                .paint_err(Paint::Warn, "BROWSER can't be started:");
            self.output.say(&format!("{warn} {why}"));
        }
        let what = if opened == BrowserOutcome::Yes {
            "A browser opens. If it does not, open:"
        } else {
            "Open in a browser on this machine (or start again with --device or --headless):"
        };
        self.output.say(&format!("{what}\n\n  {}\n", url.expose()));
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the person who signs in must see where to go"
    )]
    fn open_and_paste(&self, url: &SecretString, redirect_uri: &str) {
        self.output.say(&format!(
            "Open in a browser on any machine:\n\n  {}\n\nAfter you allow access the browser ends at an address that \
             starts with\n{redirect_uri} and probably shows an error page: that is fine.\nCopy the whole address, paste \
             it here and press Enter.",
            url.expose()
        ));
    }

    fn enter(&self, user_code: &str, uri: &str, complete: Option<&str>) {
        if self.output.is_watched() {
            let code = qr(complete.unwrap_or(uri));
            let painted = code
                .lines()
                .map(|line| format!("  {}", self.output.paint_err(Paint::Paper, line)));
            self.output.say(&painted.collect::<Vec<_>>().join("\n"));
        }
        self.output.say(&format!(
            "On your phone or any computer open\n\n  {}\n\nand enter the code\n\n  {}\n",
            self.output.paint_err(Paint::Strong, uri),
            self.output.paint_err(Paint::Strong, user_code),
        ));
        if let Some(complete) = complete {
            self.output.say(&format!(
                "or open it with the code in it:\n\n  {complete}\n"
            ));
        }
    }
}

#[async_trait]
impl Prompter for Terminal<'_> {
    fn invite(&self, invitation: &SignInPrompt) {
        let output = self.output;
        if let Some(sign_in) = self.app.sign_in().as_mut() {
            sign_in.sends_to(&invitation.task);
        }
        let again = if invitation.resumed {
            "Resuming the interrupted sign-in at"
        } else {
            "Sign in at"
        };
        let issuer = output.paint_err(Paint::Strong, invitation.issuer.as_str());
        output.say(&format!("{again} {issuer}"));
        if let Some(listed) = &invitation.unasked {
            output.say(&format!(
                "No scope is asked for. The provider lists these (--scope chooses): {}",
                listed.as_str()
            ));
        }
        match &invitation.task {
            PromptAction::Open(url) => self.open(url),
            PromptAction::OpenAndPaste { url, redirect_uri } => {
                self.open_and_paste(url, redirect_uri);
            }
            PromptAction::Enter {
                user_code,
                verification_uri,
                verification_uri_complete,
            } => self.enter(
                user_code,
                verification_uri,
                verification_uri_complete.as_deref(),
            ),
            _ => {}
        }
        let waiting = format!("Waiting up to {} …", span(invitation.patience.as_secs()));
        output.say(&output.paint_err(Paint::Dim, &waiting));
    }

    async fn paste(&self) -> Option<SecretString> {
        let mut lines = self.lines.lock().await;
        loop {
            let line = lines.next_line().await.ok().flatten()?;
            if !line.trim().is_empty() && line.len() <= LONGEST_LINE {
                return Some(line.into());
            }
        }
    }

    fn next_step(&self, error: &ConnectError) -> Option<String> {
        Some(failure::next_step(error, self.client_given))
    }

    fn hear(&self, said: &str) {
        let told = self.output.paint_err(Paint::Dim, "It said meanwhile:");
        self.output.say(&format!("{told} {said}"));
    }

    fn paste_again(&self, why: &RedirectError) {
        let warn = self.output.paint_err(Paint::Warn, "That is not it:");
        self.output.say(&format!(
            "{warn} {why}. Paste the whole address that the browser ended at, from this sign-in."
        ));
    }
}

/// A QR code in half-height blocks: its light parts are drawn, so that a terminal that is dark, or painted so, shows it
/// as it is printed on paper.
fn qr(text: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else {
        return String::new();
    };
    code.render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_fits_a_terminal() {
        let code = qr("https://as.example/device?user_code=ABCD-EFGH");
        assert!(code.lines().count() <= 20, "{code}");
        assert!(code.lines().all(|line| line.chars().count() <= 60));
    }
}
