//! Reads response bodies within bounds.

use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::body::ResponseBody;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Broken,
    TooLarge,
}

pub(super) async fn read_bounded(mut body: ResponseBody, limit: usize) -> Result<Bytes, Unread> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| Unread::Broken)?;
        let data = frame.data_ref().map_or([].as_slice(), |data| data);
        if whole.len() + data.len() > limit {
            return Err(Unread::TooLarge);
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.into())
}
