//! The caches that are measured, each as its own documentation has it used.

mod authkeeper;
mod aws_smithy;
mod channel;
mod google_cloud;
mod huskarl;
mod moka;

use std::time::Duration;

pub use self::{
    authkeeper::Authkeeper, aws_smithy::AwsSmithy, channel::Channel, google_cloud::GoogleCloud,
    huskarl::Huskarl, moka::Moka,
};

/// How long the provider takes to answer.
pub const ROUND_TRIP: Duration = Duration::from_millis(50);

/// How long a token lives.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// The text of a token.
pub fn token_text() -> String {
    "x".repeat(64)
}

/// A token cache.
pub trait Peer: Send + Sync + Sized + 'static {
    /// Its name in the table.
    const NAME: &'static str;

    /// One that holds no valid token.
    fn expired() -> impl Future<Output = Self> + Send;

    /// Asks for a token; returns its length, so that it is looked at.
    fn token(&self) -> impl Future<Output = usize> + Send;

    /// How many requests reached its provider.
    fn requests(&self) -> u64;
}
