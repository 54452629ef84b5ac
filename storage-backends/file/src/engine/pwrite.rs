//! The engine that is always there: `pwritev` on the thread that calls.

use std::{io, sync::Arc};

use saccade_disk::DiskFile;

use super::{EngineFile, FileEngine, Submitted, Write};

#[derive(Debug)]
pub(super) struct Pwrite;

#[derive(Debug)]
struct File(Arc<dyn DiskFile>);

impl FileEngine for Pwrite {
    fn name(&self) -> &'static str {
        "pwrite"
    }

    fn attach(&self, file: &Arc<dyn DiskFile>) -> Box<dyn EngineFile> {
        Box::new(File(Arc::clone(file)))
    }
}

impl EngineFile for File {
    fn submit(&self, write: Write) -> Submitted {
        let pieces: Vec<&[u8]> = write.pieces.iter().map(|piece| &**piece).collect();
        Submitted::Ended(self.0.write_pieces_at(&pieces, write.offset, write.mode))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
