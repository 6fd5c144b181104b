//! Progress for a client while its request waits, unsent.

use std::future::{Future, pending};
use std::time::Duration;

use tokio::time::sleep;

use super::link::ClientEnd;
use crate::{
    mcp::{
        codec::message::{Id, Message},
        progress::{progress_token, said},
    },
    wait::Waiting,
};

/// The interval of progress. Shorter than any client's timeout, which progress may reset.
const EVERY: Duration = Duration::from_secs(10);

/// Waits for what was sent, and tells the client meanwhile of every wait before that.
pub(in crate::mcp) async fn telling<T>(
    client: &ClientEnd,
    message: &Message,
    waiting: &Waiting,
    sent: impl Future<Output = T>,
) -> T {
    let told = async {
        tell(client, message, waiting).await;
        pending().await
    };
    tokio::select! {
        done = sent => done,
        done = told => done,
    }
}

/// Ends only where nobody asked to be told.
async fn tell(client: &ClientEnd, message: &Message, all: &Waiting) {
    let ids = message.awaited();
    let about = ids.first().map(Id::key);
    let mut waiting = all.watch();
    while waiting.wait_for(Option::is_some).await.is_ok() {
        let Some(token) = progress_token(message) else {
            return;
        };
        let mut waited = Duration::ZERO;
        loop {
            let Some(waits_for) = waiting.borrow_and_update().clone() else {
                break;
            };
            let text = said(&token, all.tells(), &waits_for, waited);
            client.tell(about, text).await;
            tokio::select! {
                () = sleep(EVERY) => waited += EVERY,
                _ = waiting.wait_for(Option::is_none) => break,
            }
        }
    }
}
