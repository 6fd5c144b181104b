//! OAuth that survives the night: the runtime that owns the life cycle of unattended agents' credentials.
//!
//! # What it guarantees
//!
//! - **Exactly one refresh** of a grant, for all tasks and processes that ask for a token ([`refresh`]).
//! - **No reply is lost**: a reply of the token endpoint is durable before a caller sees its token.
//! - **No waiting while a token is good**: callers wait for a refresh only when the current access token has ended.
//! - **Only a definite refusal** of the token endpoint asks a person to sign in again.
//! - **A lost reply is a state of its own**: it is reported, and the request is resent as the provider's rule allows.
//! - **A secret is a type that can't print** ([`secret`]), and is sealed at rest ([`vault::seal`]).
//!
//! # The modules
//!
//! A module imports from the lines below its own, never from those above.
//!
//! | layer | module | contents |
//! | --- | --- | --- |
//! | 11 | [`signin`] | sign-ins and disconnects, one file a grant type |
//! | 10 | [`runtime`] | the public handle [`Runtime`]: tokens, status, step-up, key rotation |
//! | 9 | [`refresh`] | the refresh transaction: pure decisions, single flight, claim, journal, scheduler, incidents |
//! | 8 | [`error`] | [`TokenError`] and the advice for each error |
//! | 7 | [`store`] | the store traits, their conformance suite, `SQLite`, memory |
//! | 6 | [`vault`] | sealing at rest, the file of the seal key |
//! | 5 | [`catalogue`] | known providers, as data with sources and dates |
//! | 4 | [`oauth`] | the wire, one file a flow or RFC |
//! | 3 | [`http`] | URLs, the guard against server-side request forgery, the transport seam |
//! | 2 | [`platform`] | the seams of time, randomness, files, tasks and process leases |
//! | 1 | [`model`], [`text`] | pure data and transitions; text that is fit to show |
//! | 0 | [`secret`] | secrets that can't print |
//!
//! # Example
//!
//! ```no_run
//! use authkeeper::{ConnectionName, Runtime, TokenRequest};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder("/var/lib/my-agent").open()?;
//! let _scheduler = runtime.keep_fresh(vec![ConnectionName::parse("notion")?]);
//! let token = runtime.access_token(&TokenRequest::new(ConnectionName::parse("notion")?)).await?;
//! println!("good until {:?}", token.expires_at);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub mod catalogue;
pub mod error;
#[cfg(feature = "test-util")]
pub mod fuzz;
pub mod http;
pub mod model;
pub mod oauth;
pub mod platform;
pub mod refresh;
pub mod runtime;
pub mod secret;
pub mod signin;
pub mod store;
#[cfg(feature = "test-util")]
pub mod testing;
pub mod text;
pub mod vault;

pub use self::{
    error::{Advice, TokenError},
    model::{Connection, ConnectionName, Incident, Record},
    runtime::{
        ConnectionStatus, IssuedToken, LiveToken, RefreshScheduler, Runtime, RuntimeBuilder,
        Settings, TokenRequest,
    },
    store::StoreError,
};
