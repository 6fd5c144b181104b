//! The sign-in pages that the daemon serves at its public URL, for a person whose browser is on another machine. The provider's
//! redirect ends at this machine's loopback address, which that browser can't open: the person pastes the address back.
//!
//! A GET begins nothing: programs that scan mail follow links. Forms are taken from the page's own origin alone.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use authkeeper::{
    model::ConnectionName,
    oauth::{
        authorize::RedirectError,
        sign_in_page::{SignInForm, SignInPage},
    },
    runtime::{ConnectionStatus, Runtime},
    secret::SecretString,
    signin::{Again, ConnectError, PromptAction, Prompter, SignInMethod, SignInPrompt},
};
use http::StatusCode;
use tokio::sync::{Mutex, mpsc, watch};

use super::{
    extra::extra_parameters,
    leader::Links,
    policy::{is_device_sign_in, is_resolved_by_sign_in},
    poll::is_over,
    public_url::PublicUrl,
};
use crate::lifecycle::{Lifecycle, Scope};

/// How long a sign-in may take from the first click.
const PATIENCE: Duration = Duration::from_mins(15);
/// How long a browser waits for what comes next.
const ANSWER: Duration = Duration::from_secs(30);
/// How soon a page looks whether somebody has typed the code, in seconds.
const RELOAD_AFTER: u32 = 5;

/// What a person sent with a form.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// They want to sign in.
    Begin,
    /// The address at which the provider left them.
    Address(SecretString),
}

/// The sign-in pages of all connections.
pub struct PublicSignIn {
    lifecycle: Lifecycle,
    runtime: Runtime,
    links: Links,
    url: PublicUrl,
    attempts: Mutex<HashMap<ConnectionName, Arc<Attempt>>>,
}

/// A sign-in that was begun on a page.
struct Attempt {
    /// The page's.
    id: String,
    stage: watch::Receiver<Stage>,
    pasted: mpsc::Sender<SecretString>,
    _work: Scope,
}

/// How far a sign-in has come.
#[derive(Clone, Debug)]
enum Stage {
    /// The provider has not answered yet.
    Begun,
    /// A person signs in, and pastes the address at which that ends.
    Address {
        open: SecretString,
        ends_at: String,
        /// Why what they pasted was not it.
        wrong: Option<String>,
    },
    /// A person types this code there.
    Code {
        code: String,
        at: String,
        complete: Option<String>,
    },
    Done,
    Failed(String),
}

impl PublicSignIn {
    /// Pages at `url` for the connections of this runtime; `links` knows which addresses were told.
    pub fn new(lifecycle: &Lifecycle, runtime: Runtime, links: Links, url: PublicUrl) -> Self {
        Self {
            lifecycle: lifecycle.clone(),
            runtime,
            links,
            url,
            attempts: Mutex::default(),
        }
    }

    pub(crate) fn url(&self) -> &PublicUrl {
        &self.url
    }

    /// The page; with what was sent, if something was.
    pub(crate) async fn page(
        &self,
        (name, id): (&ConnectionName, &str),
        submitted: Option<Submitted>,
    ) -> SignInPage {
        let Ok(status) = self.runtime.status(name).await else {
            return nothing_here();
        };
        let is_over = is_over(&status, is_resolved_by_sign_in);
        let begun = self.attempts.lock().await.get(name).map(Arc::clone);
        // Who has signed in still sees that it is done; the next incident has a page of its own.
        let begun = begun.filter(|attempt| attempt.id == id && (is_over || attempt.goes_on()));
        if begun.is_none() && !self.links.is_public(name, status.lineage, id) {
            return nothing_here();
        }
        let stage = match (begun, submitted) {
            _ if is_over => Stage::Done,
            (None, None) => return about(&status, invitation(name)),
            (Some(attempt), None) => attempt.stage.borrow().clone(),
            (Some(attempt), Some(Submitted::Address(address))) => attempt.paste(address).await,
            (None, Some(Submitted::Address(_))) => {
                Stage::Failed("this sign-in is no longer under way".to_owned())
            }
            (_, Some(Submitted::Begin)) => self.begin(&status, id).await,
        };
        about(&status, shown(name, &stage))
    }

    /// Begins a sign-in in the place of the one before it.
    async fn begin(&self, status: &ConnectionStatus, id: &str) -> Stage {
        let name = &status.connection.name;
        let (telling, mut stage) = watch::channel(Stage::Begun);
        let (pasted, pastes) = mpsc::channel(1);
        let work = self.lifecycle.scope();
        let person = RemotePerson {
            stage: telling,
            pastes: Mutex::new(pastes),
            lifecycle: self.lifecycle.clone(),
        };
        let is_device = is_device_sign_in(status.grant_type);
        let way = if is_device {
            SignInMethod::Device
        } else {
            SignInMethod::Headless
        };
        let signing_in = signed_in(self.runtime.clone(), name.clone(), way, person);
        if is_device {
            work.spawn_until_stop(signing_in);
        } else {
            work.spawn(signing_in);
        }
        let attempt = Attempt {
            id: id.to_owned(),
            stage: stage.clone(),
            pasted,
            _work: work,
        };
        let mut attempts = self.attempts.lock().await;
        attempts.insert(name.clone(), Arc::new(attempt));
        drop(attempts);
        let answered = stage.wait_for(|stage| !matches!(stage, Stage::Begun));
        let _ = tokio::time::timeout(ANSWER, answered).await;
        stage.borrow().clone()
    }
}

impl Attempt {
    fn goes_on(&self) -> bool {
        !matches!(*self.stage.borrow(), Stage::Done)
    }

    /// Hands on what was pasted, and waits for what comes of it.
    async fn paste(&self, address: SecretString) -> Stage {
        let mut stage = self.stage.clone();
        stage.mark_unchanged();
        if self.pasted.send(address).await.is_err() {
            return self.stage.borrow().clone();
        }
        let _ = tokio::time::timeout(ANSWER, stage.changed()).await;
        stage.borrow().clone()
    }
}

async fn signed_in(
    runtime: Runtime,
    name: ConnectionName,
    way: SignInMethod,
    person: RemotePerson,
) {
    let mut again = Again::new(PATIENCE);
    again.way = Some(way);
    let done = match extra_parameters(&runtime, &name).await {
        Ok(extra) => {
            again.extra = extra;
            let done = Box::pin(runtime.reauthorize(&name, again, &person)).await;
            done.map(drop).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    person.stage.send_replace(match done {
        Ok(()) => Stage::Done,
        Err(why) => Stage::Failed(why),
    });
}

/// The person at the page.
struct RemotePerson {
    stage: watch::Sender<Stage>,
    pastes: Mutex<mpsc::Receiver<SecretString>>,
    lifecycle: Lifecycle,
}

#[async_trait]
impl Prompter for RemotePerson {
    fn invite(&self, invitation: &SignInPrompt) {
        let stage = match &invitation.task {
            PromptAction::OpenAndPaste { url, redirect_uri } => Stage::Address {
                open: url.clone(),
                ends_at: redirect_uri.clone(),
                wrong: None,
            },
            PromptAction::Enter {
                user_code,
                verification_uri,
                verification_uri_complete,
            } => Stage::Code {
                code: user_code.clone(),
                at: verification_uri.clone(),
                complete: verification_uri_complete.clone(),
            },
            _ => return,
        };
        self.stage.send_replace(stage);
    }

    async fn paste(&self) -> Option<SecretString> {
        // A code that was pasted before a stop is still exchanged.
        let mut pastes = self.pastes.lock().await;
        self.lifecycle.until_stop(pastes.recv()).await.flatten()
    }

    fn paste_again(&self, why: &RedirectError) {
        self.stage.send_modify(|stage| {
            if let Stage::Address { wrong, .. } = stage {
                *wrong = Some(why.to_string());
            }
        });
    }

    fn next_step(&self, _error: &ConnectError) -> Option<String> {
        None
    }
}

fn nothing_here() -> SignInPage {
    let text = "This sign-in link is not valid, or its sign-in is done.";
    SignInPage::new(StatusCode::NOT_FOUND, "Nothing here", text)
}

fn about(status: &ConnectionStatus, page: SignInPage) -> SignInPage {
    let connection = &status.connection;
    page.with("Connection", connection.name.as_str())
        .with("Server", &connection.url)
        .with("Signs in at", connection.issuer.as_str())
}

fn invitation(name: &ConnectionName) -> SignInPage {
    let text = format!("{name} has lost its authorization. Sign in, and waiting jobs go on.");
    SignInPage::new(StatusCode::OK, format!("Sign in to {name}"), text).form(SignInForm {
        field: None,
        button: "Sign in",
    })
}

fn shown(name: &ConnectionName, stage: &Stage) -> SignInPage {
    let title = format!("Sign in to {name}");
    match stage {
        Stage::Begun => {
            let text = "The provider has not answered yet.";
            SignInPage::new(StatusCode::OK, title, text).reloaded_after(RELOAD_AFTER)
        }
        Stage::Address {
            open,
            ends_at,
            wrong,
        } => {
            let (start, _) = ends_at.split_once('?').unwrap_or((ends_at, ""));
            let text = match wrong {
                Some(wrong) => format!("What you pasted is not it: {wrong}. Try again."),
                None => format!(
                    "Open the provider and sign in. At the end your browser can't open an address that starts with {start}. \
                     Copy that whole address and paste it here."
                ),
            };
            let page = SignInPage::new(StatusCode::OK, title, text);
            page.link("Open the provider", open.clone())
                .form(SignInForm {
                    field: Some("The address at the end"),
                    button: "Go on",
                })
        }
        Stage::Code { code, at, complete } => {
            let text = format!("Open {at} on any device and enter the code {code}.");
            let page = SignInPage::new(StatusCode::OK, title, text).reloaded_after(RELOAD_AFTER);
            let complete = complete.as_ref().unwrap_or(at);
            page.link("Open the provider", complete.clone().into())
        }
        Stage::Done => {
            let text = format!("{name} is connected. You can close this page.");
            SignInPage::new(StatusCode::OK, "Signed in", text)
        }
        Stage::Failed(why) => {
            let page = SignInPage::new(StatusCode::BAD_GATEWAY, "Not signed in", format!("{why}."));
            page.form(SignInForm {
                field: None,
                button: "Try again",
            })
        }
    }
}
