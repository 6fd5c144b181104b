//! OAuth that survives the night: the runtime that owns the life cycle of unattended agents' credentials.
//!
//! # What it guarantees
//!
//! - **Exactly one refresh** of a grant, whoever asks, in how many tasks and processes ([`refresh`]).
//! - **Nothing received is ever lost**: an answer is durable before anyone sees it.
//! - **Not in the way**: while the current access token is good, nobody waits and no failure reaches a caller.
//! - **Only a clear answer of the token endpoint** that a grant is dead asks a person to sign in again.
//! - **A lost answer is a case of its own**: it is said, and asked for again as the provider's rule allows.
//! - **A secret is a type that cannot print** ([`secret`]), and is sealed at rest ([`vault::seal`]).
//!
//! # The modules
//!
//! ```text
//! runtime, signin ─▶ catalogue ─▶ refresh ─▶ store, oauth ─▶ vault, http ─▶ platform, text, secret, model
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`runtime`] | the public handle: tokens, step-up, inspection, another seal key |
//! | [`signin`] | connecting and disconnecting, one file a grant type |
//! | [`refresh`] | the refresh transaction: pure decisions, single flight, claim, journal, scheduler |
//! | [`catalogue`] | what is known of providers, as data with sources and dates |
//! | [`store`] | the store trait, its conformance suite, `SQLite` |
//! | [`vault`] | sealing at rest, the file of the seal key |
//! | [`oauth`] | the wire, one file a flow or RFC |
//! | [`http`] | the transport seam: connect, then send |
//! | [`platform`] | the seams of time, randomness, files, tasks and locks between processes |
//! | [`model`] | pure data and transitions |
//! | [`error`] | errors that say what to do |
//!
//! # Example
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use authkeeper::{platform::clock::Seams, http::NetTransport, model::ConnectionName, runtime::{Runtime, Settings, TokenRequest}};
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
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
pub mod store;
pub mod text;
pub mod vault;
