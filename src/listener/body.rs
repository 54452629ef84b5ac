//! A request body whose sender must not fall silent, and is heard out when the answer comes before its end.

use super::{departure::Unasked, patience::Patience};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    error::Error,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// How long the rest of a body is read and thrown away once nobody wants it. A client that is still sending when the
/// connection is closed sees a reset instead of the answer: most clients read it only after they have sent all.
const LINGER: Duration = Duration::from_secs(30);

/// Fails with an [`std::io::Error`] of kind `TimedOut` when a frame that was asked for does not come within
/// the limit. Time between a frame and the next request for one does not count.
///
/// Dropped before its end, it goes on reading in a task of its own, for a bounded time and without keeping anything.
#[derive(Debug)]
pub(super) struct RequestBody<B: Discard> {
    /// `None` only while it is dropped.
    inner: Option<B>,
    patience: Patience,
    over: bool,
    sender: Sender,
    /// For the connection: whether nobody has asked for anything of it yet.
    unasked: Unasked,
}

/// What the sender of a body does before anybody has asked for the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// Sends at once.
    Sends,
    /// Waits for `100 Continue`, which the first request for a frame gives: it is not to be asked for the sake of
    /// throwing its bytes away.
    Waits,
}

/// A body that can be read to its end with nobody looking.
pub(super) trait Discard: Body + Unpin + Send + 'static {
    /// Reads what is left; returns at its end, or when it breaks off.
    fn discard(self) -> impl Future<Output = ()> + Send;
}

impl<B> Discard for B
where
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
{
    async fn discard(mut self) {
        while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {}
    }
}

impl<B: Discard> RequestBody<B> {
    pub(super) fn new(inner: B, limit: Duration, sender: Sender, unasked: Unasked) -> Self {
        unasked.set(!inner.is_end_stream());
        Self {
            inner: Some(inner),
            patience: Patience::new(limit),
            over: false,
            sender,
            unasked,
        }
    }
}

impl<B: Discard> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.unasked.set(false);
        let Some(rest) = self.inner.take() else { return };
        if self.over || self.sender == Sender::Waits || rest.is_end_stream() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // What does not end in time is closed with the connection.
                let _ = tokio::time::timeout(LINGER, rest.discard()).await;
            });
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Discard,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        self.sender = Sender::Sends;
        self.unasked.set(false);
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            self.patience.renew();
            self.over = !matches!(frame, Some(Ok(_)));
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.patience.poll_exhausted(cx));
        self.over = true;
        metrics::counter!("saccade_transfers_stalled_total", "direction" => "in").increment(1);
        Poll::Ready(Some(Err(self.patience.error("the client sent no data").into())))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use std::{convert::Infallible, io};
    use tokio::time::{Instant, sleep};

    const LIMIT: Duration = Duration::from_secs(60);

    fn frame(text: &'static str) -> Result<Frame<Bytes>, Infallible> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_is_an_error_after_the_limit_and_then_the_end() {
        let inner = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let mut body = RequestBody::new(inner, LIMIT, Sender::Sends, Unasked::default());
        let start = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(start.elapsed().as_secs(), 60);
        let error = error.downcast::<io::Error>().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "the client sent no data for 60 s");
        assert!(body.frame().await.is_none());
        assert!(body.is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sender_that_goes_on_sending_is_not_cut_off() {
        let frames = stream::unfold(0, |sent| async move {
            sleep(Duration::from_secs(50)).await;
            (sent < 5).then(|| (frame("x"), sent + 1))
        });
        let body = RequestBody::new(
            StreamBody::new(Box::pin(frames)),
            LIMIT,
            Sender::Sends,
            Unasked::default(),
        );
        assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxxx");
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_slowness_is_not_held_against_the_sender() {
        let frames = stream::iter([frame("a"), frame("b")]);
        let mut body = RequestBody::new(StreamBody::new(frames), LIMIT, Sender::Sends, Unasked::default());
        for _ in 0..2 {
            assert!(body.frame().await.unwrap().is_ok());
            sleep(LIMIT * 10).await;
        }
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_body_that_nobody_wants_any_more_is_read_to_its_end() {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
        let frames = stream::unfold(receiver, |mut receiver| async move {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        let body = RequestBody::new(
            StreamBody::new(Box::pin(frames)),
            LIMIT,
            Sender::Sends,
            Unasked::default(),
        );
        drop(body);
        for _ in 0..100 {
            sender.send(frame("x")).await.expect("nobody reads the rest");
        }
    }

    #[tokio::test]
    async fn a_sender_that_waits_to_be_asked_is_not_asked_in_order_to_throw_its_bytes_away() {
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = asked.clone();
        let frames = stream::poll_fn(move |_| {
            seen.store(true, std::sync::atomic::Ordering::SeqCst);
            Poll::Ready(None::<Result<Frame<Bytes>, Infallible>>)
        });
        drop(RequestBody::new(
            StreamBody::new(frames),
            LIMIT,
            Sender::Waits,
            Unasked::default(),
        ));
        tokio::task::yield_now().await;
        assert!(!asked.load(std::sync::atomic::Ordering::SeqCst));
    }
}
