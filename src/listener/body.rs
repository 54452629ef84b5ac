//! A request body whose sender must not fall silent.

use super::patience::Patience;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Fails with an [`std::io::Error`] of kind `TimedOut` when a frame that was asked for does not come within
/// the limit. Time between a frame and the next request for one does not count.
#[derive(Debug)]
pub(super) struct IdleTimeout<B> {
    inner: B,
    patience: Patience,
    over: bool,
}

impl<B> IdleTimeout<B> {
    pub(super) fn new(inner: B, limit: Duration) -> Self {
        Self {
            inner,
            patience: Patience::new(limit),
            over: false,
        }
    }
}

impl<B> Body for IdleTimeout<B>
where
    B: Body<Data = Bytes> + Unpin,
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
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.patience.renew();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.patience.poll_exhausted(cx));
        self.over = true;
        metrics::counter!("saccade_transfers_stalled_total", "direction" => "in").increment(1);
        Poll::Ready(Some(Err(self.patience.error("the client sent no data").into())))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
        let mut body = IdleTimeout::new(inner, LIMIT);
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
        let body = IdleTimeout::new(StreamBody::new(Box::pin(frames)), LIMIT);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxxx");
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_slowness_is_not_held_against_the_sender() {
        let frames = stream::iter([frame("a"), frame("b")]);
        let mut body = IdleTimeout::new(StreamBody::new(frames), LIMIT);
        for _ in 0..2 {
            assert!(body.frame().await.unwrap().is_ok());
            sleep(LIMIT * 10).await;
        }
        assert!(body.frame().await.is_none());
    }
}
