//! `saccade restore`: a deleted image whose data is still kept (`glance-scrubber --restore`).

use super::{ConfigArgs, Exit, Streams, load};
use crate::server;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The id of the image.
    image: String,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Restore {
    pub(super) fn run(self, streams: &mut Streams<'_>) -> Exit {
        let config = match load(self.config, streams) {
            Ok(loaded) => loaded.config,
            Err(exit) => return exit,
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return streams.fail("cannot start the runtime", &error),
        };
        match runtime.block_on(server::restore(&config.node.data_dir, &self.image)) {
            Ok(told) => streams.print(&format!("{told}\n")),
            Err(error) => streams.fail(&format!("cannot restore image {}", self.image), &error),
        }
    }
}
