//! Bodies of responses as a plain socket sends them.

use super::{
    frame::{FileFrame, Payload},
    lane::Lane,
    page_cache::CachedParts,
};
use crate::file_answer::FileAnswer;
use axum::{BoxError, body::Body, response::Response};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What a handler has answered: its body, or in place of that the file that the body would be read from.
#[derive(Debug)]
pub(in crate::listener) enum ResponseBody {
    Plain(Body),
    File(FileFrames),
}

/// Frames for all of a region, each of bytes that are cached.
#[derive(Debug)]
pub(in crate::listener) struct FileFrames {
    lane: Arc<Lane>,
    /// Until the first frame.
    answer: Option<FileAnswer>,
    parts: CachedParts,
    left: u64,
    /// Not read, but kept until the last byte is sent.
    whole: Option<Body>,
}

impl ResponseBody {
    /// A file leaves through `lane`, if its answer is what is to be sent: whoever has replaced the body (as for a HEAD)
    /// has left the extension. Where the file system does not tell what is cached, sending might wait for it: the body reads
    /// the file on other threads.
    pub(in crate::listener) fn of(mut response: Response, lane: &Arc<Lane>) -> Response<Self> {
        let answer = response.extensions_mut().remove::<FileAnswer>();
        response.map(|whole| {
            let answer = answer.filter(|answer| whole.size_hint().exact() == Some(answer.region().len));
            let frames = answer.and_then(|answer| {
                let parts = CachedParts::of(answer.region())?;
                Some((answer, parts))
            });
            match frames {
                Some((answer, parts)) => Self::File(FileFrames::new(answer, parts, whole, lane.clone())),
                None => Self::Plain(whole),
            }
        })
    }
}

impl FileFrames {
    fn new(answer: FileAnswer, parts: CachedParts, whole: Body, lane: Arc<Lane>) -> Self {
        Self {
            lane,
            parts,
            left: answer.region().len,
            answer: Some(answer),
            whole: Some(whole),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Payload, BoxError>>> {
        if self.lane.ends_turn() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(part) = ready!(self.parts.poll_next(cx)) else {
            return Poll::Ready(None);
        };
        let len = match part {
            Ok(len) => len,
            Err(error) => {
                tracing::error!(%error, "a download broke off: its file cannot be read");
                return Poll::Ready(Some(Err(error.into())));
            }
        };
        if let Some(answer) = self.answer.take() {
            self.lane.begin(answer)?;
        }
        self.left = self.left.saturating_sub(len as u64);
        let whole = if self.left == 0 { self.whole.take() } else { None };
        let frame = FileFrame::new(self.lane.clone(), len, whole);
        Poll::Ready(Some(Ok(Payload::File(frame))))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Payload;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Payload>, BoxError>>> {
        match &mut *self {
            Self::Plain(body) => Pin::new(body)
                .poll_frame(cx)
                .map_ok(|frame| frame.map_data(Payload::Memory))
                .map_err(Into::into),
            Self::File(frames) => frames.poll_next(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::File(frames) => frames.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::File(frames) => SizeHint::with_exact(frames.left),
        }
    }
}
