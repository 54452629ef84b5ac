//! The body of a download, which lasts as long as the download's turn.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::file_body::FileBody;
use crate::transfer::Turn;

/// Image data on its way to a client. Dropped, its place is another download's.
pub(super) struct TurnBody<B> {
    body: B,
    open: Option<Open>,
    _turn: Turn,
}

/// A download that is counted here, while it is open.
struct Open;

impl TurnBody<FileBody> {
    /// Of a file, which counts its bytes itself.
    pub(super) fn file(body: FileBody, turn: Turn) -> Self {
        Self {
            body,
            open: None,
            _turn: turn,
        }
    }
}

impl TurnBody<Body> {
    /// Of anything else.
    pub(super) fn stream(body: Body, turn: Turn) -> Self {
        metrics::gauge!("saccade_transfers_open", "direction" => "out").increment(1);
        Self {
            body,
            open: Some(Open),
            _turn: turn,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("saccade_transfers_open", "direction" => "out").decrement(1);
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for TurnBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(_)) = (&polled, &self.open) {
            let sent = frame.data_ref().map_or(0, Bytes::len);
            metrics::counter!("saccade_download_bytes_total").increment(sent as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
