//! OAuth that survives the night: the runtime that owns the life cycle of unattended agents' credentials.
//!
//! # What it guarantees
//!
//! - **Exactly one refresh** of a grant, whoever asks, in how many tasks and processes ([`refresh`]).
//! - **Nothing received is ever lost**: an answer is durable before anyone sees it.
//! - **Not in the way**: while the current access token is good, nobody waits and no failure reaches a caller.
//! - **Only a clear answer of the token endpoint** that a grant is dead asks a person to sign in again.
//! - **A lost answer is a case of its own**: it is said, and asked for again as the provider's rule allows.
//! - **A secret is a type that cannot print** ([`secret`]), and is sealed at rest ([`store::seal`]).
//!
//! # The modules
//!
//! ```text
//! runtime, signin, inspect ─▶ catalogue ─▶ refresh ─▶ store, oauth ─▶ http, clock, secret ─▶ model
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`runtime`] | the public handle; [`signin`] adds connecting and disconnecting to it |
//! | [`live`] | tokens handed out from memory while nothing has changed |
//! | [`inspect`] | looking at all of it without changing any |
//! | [`seal_key`] | another key for all that is sealed, while other processes work |
//! | [`refresh`] | the refresh transaction: pure decisions, single flight, claim, journal, keeper |
//! | [`catalogue`] | what is known of providers, as data with sources and dates |
//! | [`store`] | the store trait, `SQLite`, sealing, owners' locks |
//! | [`oauth`] | the wire, one file a flow or RFC |
//! | [`http`] | the transport seam: connect, then send |
//! | [`clock`] | the time and randomness seams |
//! | [`model`] | pure data and transitions |
//! | [`error`] | errors that say what to do |
//!
//! # Example
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use authkeeper::{clock::Seams, http::NetTransport, model::ConnectionName, runtime::{Runtime, Settings, TokenRequest}};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::in_folder("/var/lib/my-agent".into());
//! let runtime = Runtime::open(&settings, Seams::system(), Arc::new(NetTransport::new()))?;
//! let _keeper = runtime.keep_fresh(vec![ConnectionName::parse("notion")?]);
//! let token = runtime.access_token(&TokenRequest::new(ConnectionName::parse("notion")?)).await?;
//! println!("good until {:?}", token.expires_at);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod background;
pub mod catalogue;
pub mod clock;
pub mod error;
pub mod fault;
mod files;
#[cfg(feature = "test-util")]
pub mod fuzz;
pub mod http;
pub mod inspect;
pub mod live;
pub mod model;
mod moved;
pub mod near;
pub mod oauth;
pub mod refresh;
pub mod runtime;
mod scopes;
pub mod seal_key;
pub mod secret;
mod serving;
mod shown;
pub mod signin;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
pub mod store;
mod trouble;
